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
app.all('/late/:pause', async (c) => {
  await sleep(Number(c.req.param('pause')));
  return c.text('late');
});
// Takes all memory, which ends the instance.
const trap = () => {
  let all = [];
  for (;;) {
    all = [all, 'x'.repeat(1000)];
  }
};
app.get('/trap', trap);
app.get('/reject', () => new Response(new ReadableStream({
  async pull(controller) {
    controller.error(new Error('on purpose'));
  },
})));
// So many lines, with a pause of so many milliseconds after each.
const lines = (count, pause, end) => {
  let line = 0;
  return new Response(new ReadableStream({
    async pull(controller) {
      if (line === count) {
        return end(controller);
      }
      line += 1;
      controller.enqueue(new TextEncoder().encode(`line ${line}\n`));
      await sleep(pause);
    },
  }));
};
app.all('/lines/:count/:pause', (c) => {
  const { count, pause } = c.req.param();
  return lines(Number(count), Number(pause), (controller) => controller.close());
});
app.get('/cut/:count', (c) => lines(Number(c.req.param('count')), 0, trap));
app.fire();
