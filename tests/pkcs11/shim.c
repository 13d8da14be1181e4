/* SoftHSM with faults: a PKCS#11 library that passes everything on but what a file in MAYFLY_TEST_FOLDER says.
 *
 *   sessions   so many sessions can be open
 *   flags      these are set in what a token says of itself
 *   fault      C_SignInit answers this code
 *   hang       C_SignInit does not come back while the file is there
 *   logout     once, C_SignInit comes after a C_Logout; the file is removed
 *
 * Each login is a line in the file `logins`. Numbers are as strtoul reads them.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef unsigned long ul;
typedef ul (*function)();

/* PKCS #11 v2.40, CK_FUNCTION_LIST: a version, then the functions in the order of the standard. */
struct list { unsigned char version[2]; function call[68]; };
enum { GET_TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_SESSION = 13, LOGIN = 18, LOGOUT = 19, SIGN_INIT = 42 };
/* CK_TOKEN_INFO: label, manufacturer, model and serial number, then the flags. */
struct token { char texts[32 + 32 + 16 + 16]; ul flags; };

static struct list *real, ours;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static ul open_sessions;

static char *path(const char *name) {
  static __thread char buffer[4096];
  snprintf(buffer, sizeof buffer, "%s/%s", getenv("MAYFLY_TEST_FOLDER"), name);
  return buffer;
}

/* The number in a file; `otherwise` if there is none. */
static ul number(const char *name, ul otherwise) {
  char text[32] = "";
  FILE *file = fopen(path(name), "r");
  if (!file) return otherwise;
  if (!fgets(text, sizeof text, file)) text[0] = 0;
  fclose(file);
  return strtoul(text, NULL, 0);
}

static ul get_token_info(ul slot, struct token *token) {
  ul code = real->call[GET_TOKEN_INFO](slot, token);
  token->flags |= number("flags", 0);
  return code;
}

static ul open_session(ul slot, ul flags, void *application, void *notify, ul *session) {
  pthread_mutex_lock(&mutex);
  ul code = 0xb1; /* CKR_SESSION_COUNT */
  if (open_sessions < number("sessions", (ul)-1)) {
    code = real->call[OPEN_SESSION](slot, flags, application, notify, session);
    open_sessions += code == 0;
  }
  pthread_mutex_unlock(&mutex);
  return code;
}

static ul close_session(ul session) {
  pthread_mutex_lock(&mutex);
  ul code = real->call[CLOSE_SESSION](session);
  open_sessions -= code == 0;
  pthread_mutex_unlock(&mutex);
  return code;
}

static ul login(ul session, ul user, void *pin, ul length) {
  FILE *file = fopen(path("logins"), "a");
  fputs("login\n", file);
  fclose(file);
  return real->call[LOGIN](session, user, pin, length);
}

static ul sign_init(ul session, void *mechanism, ul key) {
  while (access(path("hang"), F_OK) == 0) usleep(10000);
  ul fault = number("fault", 0);
  if (fault) return fault;
  if (unlink(path("logout")) == 0) real->call[LOGOUT](session);
  return real->call[SIGN_INIT](session, mechanism, key);
}

ul C_GetFunctionList(struct list **list) {
  function get = (function)dlsym(dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW), "C_GetFunctionList");
  ul code = get(&real);
  ours = *real;
  ours.call[GET_TOKEN_INFO] = get_token_info;
  ours.call[OPEN_SESSION] = open_session;
  ours.call[CLOSE_SESSION] = close_session;
  ours.call[LOGIN] = login;
  ours.call[SIGN_INIT] = sign_init;
  *list = &ours;
  return code;
}
