// The certified npm `oidc-provider` as somebody's identity provider, on https://localhost: its own login and
// consent pages, a public client `sigstore`, the e-mail address in the ID token.
// Arguments: certificate, key. Prints one line of JSON when ready.
import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const load = createRequire(path.join(process.env.NODE_ROOT, 'package.json'));
const { default: Provider } = await import(pathToFileURL(load.resolve('oidc-provider')));

const [cert, key] = process.argv.slice(2).map((file) => fs.readFileSync(file));
const server = https.createServer({ cert, key });
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `https://localhost:${server.address().port}`;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'sigstore',
      application_type: 'native', // any port of the loopback redirect
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://localhost/auth/callback'],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'interop', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['interop test'] },
  conformIdTokenClaims: false, // scope claims in the ID token, where every sigstore client looks for them
  claims: { email: ['email', 'email_verified'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: id, email_verified: true }) }),
});
provider.on('server_error', (_, error) => console.error(error));
server.on('request', provider.callback());
console.log(JSON.stringify({ issuer }));
