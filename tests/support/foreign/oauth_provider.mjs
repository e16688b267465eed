// npm's oidc-provider as an authorization server for client credentials, on a loopback port of the kernel's choice.
//
//   node oauth_provider.mjs FOLDER      where FOLDER/node_modules has oidc-provider
//
// The first line on standard input is its configuration:
//   {"clients": [...as oidc-provider wants them...], "ttl": seconds, "tls": {"key", "cert", "ca"} or absent}
// Each line on standard output is one JSON object: the address first, then one for each further line of input:
//   {"rotate": true}  new signing keys under a new name; the old ones are forgotten
//   {"count": true}   how many token requests came, and with which assertion ids
// Ends when standard input ends.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

console.info = console.warn = (...words) => { process.stderr.write(`${words.join(' ')}\n`); };
const require = createRequire(resolve(process.argv[2], 'package.json'));
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { clients, ttl, tls } = JSON.parse((await lines.next()).value);

let handler;
let requests = 0;
let generation = 0;
const serve = (request, response) => {
  if (request.url.startsWith('/token') && request.method === 'POST') requests += 1;
  handler(request, response);
};
const server = tls ? createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false }, serve)
  : createServer(serve);
await new Promise((ready) => { server.listen(0, '127.0.0.1', ready); });
const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;

function signingKey(type, options, alg) {
  const jwk = generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' });
  return { ...jwk, use: 'sig', alg, kid: `${alg}-${generation}` };
}

function start() {
  generation += 1;
  const keys = [
    signingKey('rsa', { modulusLength: 2048 }, 'RS256'),
    signingKey('ec', { namedCurve: 'P-256' }, 'ES256'),
  ];
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    scopes: ['model.read', 'model.stream'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt',
      ...(tls ? ['tls_client_auth'] : [])],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      mTLS: {
        enabled: Boolean(tls),
        tlsClientAuth: Boolean(tls),
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.()?.toString(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn'
          && ctx.socket.getPeerX509Certificate().subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:api',
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'model.read model.stream',
          audience: resource,
          accessTokenTTL: ttl,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: ctx.oidc.params.scope === 'model.read' ? 'ES256' : 'RS256' } },
        }),
      },
    },
  });
  provider.on('server_error', (ctx, error) => { process.stderr.write(`${error.stack}\n`); });
  handler = provider.callback();
}

start();
say({ issuer });
for (let line = await lines.next(); !line.done; line = await lines.next()) {
  const command = JSON.parse(line.value);
  if (command.rotate) start();
  say({ requests });
}
process.exit(0);
