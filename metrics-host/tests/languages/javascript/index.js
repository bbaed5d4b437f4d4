// One kind of response per path.
import { Hono } from 'hono';

let requests = 0;
const app = new Hono();
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

app.get('/instance', (c) => c.text(String(++requests)));
app.post('/echo', async (c) => c.text(await c.req.text()));
app.get('/throw', () => {
  throw new Error('on purpose');
});
// Takes all memory, which ends the instance.
app.get('/trap', () => {
  let all = [];
  for (;;) {
    all = [all, 'x'.repeat(1000)];
  }
});
app.get('/reject', () => new Response(new ReadableStream({
  async pull(controller) {
    controller.error(new Error('on purpose'));
  },
})));
// So many lines, with a pause of so many milliseconds after each.
app.get('/lines/:count/:pause', (c) => {
  const { count, pause } = c.req.param();
  let line = 0;
  return new Response(new ReadableStream({
    async pull(controller) {
      if (line === Number(count)) {
        return controller.close();
      }
      line += 1;
      controller.enqueue(new TextEncoder().encode(`line ${line}\n`));
      await sleep(Number(pause));
    },
  }));
});
app.fire();
