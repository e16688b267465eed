// npm's oauth2-mock-server, told by a test what to answer wrongly, on a loopback port of the kernel's choice.
//
//   node oauth_faults.mjs FOLDER      where FOLDER/node_modules has oauth2-mock-server
//
// Each line on standard output is one JSON object: the address first, then {"requests": N} for each line of input:
//   {"next": {"status": 400, "body": {...}}}   the next token response, instead of its own
//   {"next": {"merge": {...}}}                 members of the next token response that differ
//   {"next": {"stall": 3000}}                  milliseconds of silence before the next token response
//   {}                                         nothing: only the count
// Ends when standard input ends.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const require = createRequire(resolve(process.argv[2], 'package.json'));
const { OAuth2Server } = await import(pathToFileURL(require.resolve('oauth2-mock-server')));
const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
let requests = 0;
const next = [];
server.service.on('beforeResponse', (response) => {
  requests += 1;
  const fault = next.shift() ?? {};
  if (fault.stall) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fault.stall);
  if (fault.status) response.statusCode = fault.status;
  if ('body' in fault) response.body = fault.body;
  if (fault.merge) response.body = { ...response.body, ...fault.merge };
});
await server.start(0, '127.0.0.1');
const { port } = server.address();
server.issuer.url = `http://127.0.0.1:${port}`;
say({ issuer: server.issuer.url });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.next) next.push(command.next);
  say({ requests });
}
await server.stop();
process.exit(0);
