// Takes the trusted root and the signing config by sigstore-js's TUF client. Arguments: mirror, first root, the client's own folder, and the
// folder to write the two files into.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const load = require('node:module').createRequire(path.join(process.env.NODE_ROOT, 'package.json'));
const { initTUF } = load('@sigstore/tuf');

const [mirrorURL, rootPath, cachePath, folder] = process.argv.slice(2);

async function main() {
  const tuf = await initTUF({ mirrorURL, rootPath, cachePath, force: true, retry: false });
  fs.writeFileSync(path.join(folder, 'trusted_root.json'), await tuf.getTarget('trusted_root.json'));
  fs.writeFileSync(path.join(folder, 'signing_config.json'), await tuf.getTarget('signing_config.v0.2.json'));
}

main().catch((error) => {
  console.error(`${error.message}${error.cause ? `: ${error.cause.message}` : ''}`);
  process.exit(1);
});
