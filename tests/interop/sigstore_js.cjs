// Drives sigstore-js: signing config -> bundle, and its verifier's verdict on the bundle.
// Arguments: signing config, trusted root, token file, identity, issuer and, to keep the bundle, a file.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');

const load = createRequire(path.join(process.env.NODE_ROOT, 'package.json'));
const { bundleBuilderFromSigningConfig, FulcioSigner } = load('@sigstore/sign');
const { bundleToJSON, bundleFromJSON } = load('@sigstore/bundle');
const { SigningConfig, TrustedRoot } = load('@sigstore/protobuf-specs');
const { toSignedEntity, toTrustMaterial, Verifier } = load('@sigstore/verify');

const [signingConfig, trustedRoot, tokenFile, identity, issuer, bundleFile] = process.argv.slice(2);
const json = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
const identityProvider = { getToken: async () => fs.readFileSync(tokenFile, 'utf8') };
const artifact = Buffer.from('an artifact\n');

async function main() {
  const config = SigningConfig.fromJSON(json(signingConfig));

  // The certificate alone, by the class that every sigstore-js signer uses.
  const signer = new FulcioSigner({ fulcioBaseURL: config.caUrls[0].url, identityProvider, retry: false });
  const { key } = await signer.sign(artifact);
  assert.match(key.certificate, /^-----BEGIN CERTIFICATE-----/);
  console.log('FulcioSigner: certificate');

  // The whole way, as `sigstore sign` goes it when the signing config names no Rekor.
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: config,
    identityProvider,
    bundleType: 'messageSignature',
    fetchOptions: { retry: false },
  });
  const text = JSON.stringify(bundleToJSON(await builder.create({ data: artifact })));
  if (bundleFile) fs.writeFileSync(bundleFile, text);
  const bundle = bundleFromJSON(JSON.parse(text));

  const trust = toTrustMaterial(TrustedRoot.fromJSON(json(trustedRoot)));
  const verifier = new Verifier(trust, { tlogThreshold: 0 });
  const policy = (name) => ({ subjectAlternativeName: name, extensions: { issuer } });
  verifier.verify(toSignedEntity(bundle, artifact), policy(identity));
  console.log('Verifier: chain, SCT, identity, issuer, signature');

  assert.throws(() => verifier.verify(toSignedEntity(bundle, artifact), policy('mallory@example.com')), /mallory|identity/i);
  assert.throws(() => verifier.verify(toSignedEntity(bundle, Buffer.from('another')), policy(identity)));
  const noLog = new Verifier({ ...trust, ctlogs: [] }, { tlogThreshold: 0 });
  assert.throws(() => noLog.verify(toSignedEntity(bundle, artifact), policy(identity)), /SCT/);
}

main().catch((error) => {
  console.error(`${error.message}${error.cause ? `: ${error.cause.message}` : ''}`);
  process.exit(1);
});
