// Orders, an HTTP service that tells the metrics-host in front of it what it counts. Standard library only.

import { createServer } from 'node:http';

const CATALOGUE = { routes: [{ method: 'GET', route: '/orders/{id}', status: 200 }] };

const server = createServer((request, response) => {
  const answer = (status, content, headers) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(content));
  };
  const path = request.url.split('?')[0];
  if (path.endsWith('/.well-known/telemetry-vocabulary') && request.headers['telemetry-describe']) {
    return answer(200, CATALOGUE, { 'content-type': 'application/vnd.telemetry-vocabulary+json' });
  }
  const order = path.match(/^\/orders\/([^/]+)$/);
  if (!order) {
    return answer(404, { error: 'not found' }, { 'telemetry-route': 'unmatched' });
  }
  const headers = { 'telemetry-route': '/orders/{id}' };
  try {
    answer(200, { id: Number(BigInt(order[1])) }, headers);
  } catch (error) {
    answer(500, { error: 'internal error' }, { ...headers, 'telemetry-error': error.name });
  }
});

server.listen(Number(process.argv[2]), '127.0.0.1', () => {
  console.log('listening on port', server.address().port);
});
