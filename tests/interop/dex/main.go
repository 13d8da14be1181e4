// Somebody else's identity provider that changes its signing keys, and clients that ask for certificates meanwhile.
//
//	dex_rotation provider                Dex, on a free port of 127.0.0.1, until SIGTERM
//	dex_rotation -issuer URL -api URL    the clients: password login at Dex, certificate from Mayfly
//
// The provider prints one line of JSON when it is ready, the clients one when they are done. They fail if any request
// failed, or if the keys hardly changed: then nothing was shown.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/oauth2"
)

const (
	clientID = "sigstore"
	email    = "alice@example.com"
	password = "of a throw-away provider"

	// Dex looks every 30 seconds, and cannot be told otherwise, whether its key is older than this: so the key changes
	// at each look. Dex signs with a key from the moment it publishes it: nobody can have fetched it before its first
	// token arrives.
	rotateAfter   = "1s"
	tokenLifetime = time.Minute

	maxRate     = 25 // a second; each is two requests, one to Dex and one to Mayfly
	maxDuration = 10 * time.Minute
	minKeys     = 3
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if slices.Equal(os.Args[1:], []string{"provider"}) {
		provide()
	} else {
		generate()
	}
}

// must is for what fails only if this program is wrong, or before it has begun.
func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// --- the provider ------------------------------------------------------------------------------------------

func provide() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// It does not outlive its use, should whoever started it be gone.
	ctx, cancel := context.WithTimeout(ctx, maxDuration+5*time.Minute)
	defer cancel()

	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	issuer := "http://" + listener.Addr().String()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	dex := newDex(ctx, issuer, logger)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			logger.Info("keys fetched")
		}
		dex.ServeHTTP(w, r)
	})}
	context.AfterFunc(ctx, func() { web.Close() })
	// The port is bound already: a connection made from now on waits for Serve.
	fmt.Printf("{\"issuer\": %q}\n", issuer)
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// newDex is a Dex with one user, who logs in by password, and one public client.
func newDex(ctx context.Context, issuer string, logger *slog.Logger) *server.Server {
	verified := true
	user := storage.Password{
		Email: email, EmailVerified: &verified, Username: "alice", UserID: "alice",
		// Dex refuses cheaper hashes: checking this one takes more time than all the rest.
		Hash: must(bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)),
	}
	client := storage.Client{ID: clientID, Name: clientID, Public: true}
	login := storage.Connector{ID: server.LocalConnector, Type: server.LocalConnector, Name: "password"}
	store := storage.WithStaticPasswords(memory.New(logger), []storage.Password{user}, logger)
	store = storage.WithStaticClients(store, []storage.Client{client})
	store = storage.WithStaticConnectors(store, []storage.Connector{login})

	keys := signer.LocalConfig{KeysRotationPeriod: rotateAfter}
	return must(server.NewServer(ctx, server.Config{
		Issuer:            issuer,
		Storage:           store,
		PasswordConnector: login.ID,
		IDTokensValidFor:  tokenLifetime,
		Signer:            must(keys.Open(ctx, store, tokenLifetime, time.Now, logger)),
		Logger:            logger,
	}))
}

// --- the clients -------------------------------------------------------------------------------------------

// load is what the clients share.
type load struct {
	api   string
	login oauth2.Config

	mu           sync.Mutex
	tokens       map[string]int // by their `kid`
	certificates map[string]int // by the `kid` of their token
	failures     map[string]int // by reason
}

func generate() {
	issuer := flag.String("issuer", "", "Dex's URL")
	api := flag.String("api", "", "Mayfly's URL")
	workers := flag.Int("workers", 8, "clients at the same time")
	rate := flag.Int("rate", 15, "logins a second, of all clients together, each for one certificate")
	duration := flag.Duration("duration", 100*time.Second, "how long; Dex changes its keys every 30 s")
	flag.Parse()
	if *workers < 1 || *rate < 1 || *rate > maxRate || *duration <= 0 || *duration > maxDuration {
		log.Fatalf("at least one client and one login; at most %d logins a second, for %v", maxRate, maxDuration)
	}
	for _, address := range []string{*issuer, *api} {
		if !net.ParseIP(must(url.Parse(address)).Hostname()).IsLoopback() {
			log.Fatalf("-issuer and -api are servers on 127.0.0.1, not %q", address)
		}
	}

	http.DefaultClient.Timeout = 20 * time.Second
	http.DefaultClient.Transport = &http.Transport{MaxIdleConnsPerHost: *workers}
	l := &load{
		api: *api,
		login: oauth2.Config{
			ClientID: clientID,
			Endpoint: oauth2.Endpoint{TokenURL: *issuer + "/token", AuthStyle: oauth2.AuthStyleInParams},
			Scopes:   []string{"openid", "email"},
		},
		tokens: map[string]int{}, certificates: map[string]int{}, failures: map[string]int{},
	}
	turns := time.NewTicker(time.Second / time.Duration(*rate))
	end := time.Now().Add(*duration)
	var clients sync.WaitGroup
	for range *workers {
		clients.Go(func() { l.work(turns.C, end) })
	}
	clients.Wait()
	l.report()
}

// token is an ID token and the name of the key that signed it.
type token struct{ text, kid string }

// work is one client. What it has begun it finishes, even past the end.
func (l *load) work(turns <-chan time.Time, end time.Time) {
	var last token
	for now := range turns {
		if now.After(end) {
			return
		}
		fresh, err := l.logIn()
		if err != nil {
			l.failed("token", err)
			continue
		}
		l.count(l.tokens, fresh.kid)
		l.certify(fresh)
		// New keys must not cost those their certificate who got their token just before.
		if last.kid != "" && last.kid != fresh.kid {
			l.certify(last)
		}
		last = fresh
	}
}

func (l *load) logIn() (token, error) {
	answer, err := l.login.PasswordCredentialsToken(context.Background(), email, password)
	if err != nil {
		return token{}, err
	}
	text, _ := answer.Extra("id_token").(string)
	parsed, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return token{}, err
	}
	return token{text, parsed.Signatures[0].Header.KeyID}, nil
}

// certify asks for a certificate, once: to try again would hide what this is to show.
func (l *load) certify(t token) {
	if err := l.requestCertificate(t.text); err != nil {
		l.failed("certificate", err)
	} else {
		l.count(l.certificates, t.kid)
	}
}

func (l *load) requestCertificate(idToken string) error {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	public := pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&key.PublicKey))}
	digest := sha256.Sum256([]byte(email))
	type object map[string]any
	request := must(json.Marshal(object{
		"credentials": object{"oidcIdentityToken": idToken},
		"publicKeyRequest": object{
			"publicKey":         object{"algorithm": "ECDSA", "content": string(pem.EncodeToMemory(&public))},
			"proofOfPossession": must(ecdsa.SignASN1(rand.Reader, key, digest[:])), // JSON has bytes in base64
		},
	}))
	response, err := http.Post(l.api+"/api/v2/signingCert", "application/json", bytes.NewReader(request))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		log.Printf("refused: %s", answer)
		_, reason, _ := strings.Cut(string(answer), `"reason":"`) // the rest differs each time
		reason, _, _ = strings.Cut(reason, `"`)
		return fmt.Errorf("%d %s", response.StatusCode, reason)
	}
	return check(answer, &key.PublicKey)
}

// check wants a certificate for the user and this key.
func check(answer []byte, key *ecdsa.PublicKey) error {
	type chain struct{ Certificates []string }
	var body struct{ SignedCertificateEmbeddedSct struct{ Chain chain } }
	if err := json.Unmarshal(answer, &body); err != nil {
		return err
	}
	leaf, _ := pem.Decode([]byte(strings.Join(body.SignedCertificateEmbeddedSct.Chain.Certificates, "")))
	if leaf == nil {
		return fmt.Errorf("200 without a certificate: %s", answer)
	}
	certificate, err := x509.ParseCertificate(leaf.Bytes)
	if err != nil {
		return err
	}
	if !slices.Equal(certificate.EmailAddresses, []string{email}) || !key.Equal(certificate.PublicKey) {
		return fmt.Errorf("a certificate for %q, or for another key", certificate.EmailAddresses)
	}
	return nil
}

func (l *load) failed(what string, err error) {
	log.Printf("FAILED: %s: %v", what, err)
	l.count(l.failures, what+": "+err.Error())
}

func (l *load) count(counts map[string]int, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts[name]++
}

// report prints the summary; the exit code says whether it is good.
func (l *load) report() {
	summary := map[string]any{"tokens": l.tokens, "certificates": l.certificates, "failures": l.failures}
	fmt.Printf("%s\n", must(json.Marshal(summary)))
	if len(l.failures) > 0 {
		log.Fatal("requests failed")
	}
	if len(l.tokens) < minKeys || len(l.certificates) < len(l.tokens) {
		log.Fatalf("tokens by %d keys, certificates for %d: want at least %d", len(l.tokens), len(l.certificates), minKeys)
	}
}
