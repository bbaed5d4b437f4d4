// Updates the page in place every second, and shows the values of a chart under the pointer.
"use strict";

const PERIOD = 1000;
const TIMEOUT = 10000;

// Changes the element `from` into `to`, and touches only what differs: focus, selection and scrolling stay.
function change(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeName !== to.nodeName || from.id !== to.id) {
    from.replaceWith(document.importNode(to, true));
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    from.nodeValue = to.nodeValue;
    return;
  }
  for (const { name } of [...from.attributes]) {
    // The reader opened it.
    if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  const [before, after] = [[...from.childNodes], [...to.childNodes]];
  after.forEach((node, index) => {
    if (index < before.length) change(before[index], node);
    else from.append(document.importNode(node, true));
  });
  before.slice(after.length).forEach((node) => node.remove());
}

async function update() {
  const lost = document.getElementById("lost");
  try {
    const signal = AbortSignal.timeout(TIMEOUT);
    const answer = await fetch(location.href, { cache: "no-store", signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.querySelector("main");
    if (!main) throw new Error(`status ${answer.status}`);
    hideCursor();
    change(document.querySelector("main"), main);
    showCursor();
    lost.hidden = true;
  } catch {
    if (lost.hidden) {
      const time = document.querySelector(".made .number").textContent;
      lost.textContent = `metrics-host does not answer. These numbers are as of ${time}; the page goes on trying.`;
      lost.hidden = false;
    }
  }
}

async function updateForever() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PERIOD));
    // Nobody sees a hidden tab.
    if (!document.hidden) await update();
  }
}

// The chart and the position under the pointer.
let pointed = null;
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");

function hideCursor() {
  document.querySelector(".cursor")?.remove();
  tip.hidden = true;
}

function showCursor() {
  hideCursor();
  if (!pointed?.chart.isConnected) return;
  const { chart, x, y } = pointed;
  const box = chart.getBoundingClientRect();
  const { width, height } = chart.viewBox.baseVal;
  const points = JSON.parse(chart.dataset.points);
  if (points.length === 0) return;
  const at = ((x - box.left) / box.width) * width;
  const distance = (point) => Math.abs(point[0] - at);
  const [position, time, values] = points.reduce((near, point) => (distance(point) < distance(near) ? point : near));
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "cursor");
  for (const [name, value] of Object.entries({ x1: position, x2: position, y1: 10, y2: height - 26 })) {
    line.setAttribute(name, value);
  }
  chart.append(line);
  tip.textContent = `${time}  ${values}`;
  tip.hidden = false;
  const left = Math.min(x + 12, document.documentElement.clientWidth - tip.offsetWidth - 4);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, y - tip.offsetHeight - 12)}px`;
}

document.body.append(tip);
document.addEventListener("pointermove", ({ target, clientX, clientY }) => {
  const chart = target.closest?.("[data-points]");
  pointed = chart ? { chart, x: clientX, y: clientY } : null;
  showCursor();
});
document.documentElement.addEventListener("pointerleave", () => {
  pointed = null;
  hideCursor();
});
if (document.querySelector("main[data-updates]")) updateForever();
