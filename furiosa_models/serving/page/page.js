// The page of the server: a photo in, results drawn on a canvas and listed in a table.

const $ = (id) => document.getElementById(id);
const LOWEST = 0.05; // minimum score that is asked for; the slider filters the rest
const SHOWN = 300; // rows of the table, and boxes
const state = { models: [], blob: null, bitmap: null, name: "photo", result: null, chosen: -1, turn: 0 };

const model = () => state.models[$("model").selectedIndex];
const takes = (parameter) => model().parameters.some((each) => each.name === parameter);
const threshold = () => Number($("threshold").value);
const color = (index) => `hsl(${(index * 222.49) % 360} 85% 45%)`;
// What a result is measured by: its score, or the share of the photo that it covers.
const measure = (item, digits) =>
  item.fraction !== undefined ? `${(100 * item.fraction).toFixed(1)} %` : item.score?.toFixed(digits) ?? "–";

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

// The items to show, best first, each with its place in the whole result.
function visible() {
  const items = Array.isArray(state.result) ? state.result : [];
  return items
    .filter((item) => !takes("score_threshold") || item.score >= threshold())
    .slice(0, SHOWN);
}

async function use(blob, name) {
  try {
    state.bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    state.bitmap = null; // a format that only the server can decode: the table is still shown
  }
  Object.assign(state, { blob, name: name.replace(/\.[^.]*$/, "") || "photo" });
  await predict();
}

async function predict() {
  if (!state.blob) return;
  const turn = ++state.turn;
  const query = takes("score_threshold") ? `?score_threshold=${LOWEST}` : "";
  Object.assign(state, { result: null, chosen: -1 });
  render();
  say("Running …");
  const since = performance.now();
  try {
    const path = `models/${encodeURIComponent(model().name)}/predict${query}`;
    const headers = { "Content-Type": "application/octet-stream" };
    const answer = await fetch(path, { method: "POST", body: state.blob, headers });
    const document = await answer.json();
    if (turn !== state.turn) return; // a newer photo or model was chosen
    if (!answer.ok) throw new Error(document.detail);
    state.result = document.result;
    const total = `${Math.round(performance.now() - since)} ms in all`;
    const stages = (answer.headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g);
    $("timing").textContent = [...stages, ["", "", ""]]
      .map(([, stage, time]) => (stage ? `${stage} ${Number(time).toFixed(1)} ms` : total))
      .join(" · ");
    render();
  } catch (error) {
    if (turn !== state.turn) return;
    $("timing").textContent = "";
    say(error.message || "The server does not answer.", true);
  }
}

function render() {
  const items = visible();
  const isDone = state.result !== null;
  $("threshold-row").hidden = !takes("score_threshold");
  $("shown").textContent = threshold().toFixed(2);
  for (const id of ["save-json", "save-picture"]) $(id).disabled = !isDone;
  $("save-picture").disabled ||= !state.bitmap;
  if (isDone) say(`${items.length} ${items.length === 1 ? "result" : "results"} of ${model().name}`);
  draw(items);
  fill(items);
}

function draw(items) {
  const canvas = $("canvas");
  canvas.hidden = !state.bitmap;
  if (!state.bitmap) return;
  const { width, height } = state.bitmap;
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.drawImage(state.bitmap, 0, 0);
  const unit = Math.max(2, Math.min(width, height) / 200);
  pen.font = `${Math.max(11, unit * 6)}px system-ui, sans-serif`;
  for (const [index, item] of items.entries()) {
    if (item.mask) pen.drawImage(shade(item, color(item.index ?? index)), 0, 0);
  }
  items.forEach((item, index) => {
    if (!item.box) return;
    const [left, top, right, bottom] = item.box;
    pen.lineWidth = index === state.chosen ? unit * 2.5 : unit;
    pen.strokeStyle = color(item.index ?? index);
    if (!item.mask || index === state.chosen) pen.strokeRect(left, top, right - left, bottom - top);
    joints(pen, item, unit);
    caption(pen, `${item.label ?? ""} ${measure(item, 2)}`.trim(), left, top, color(item.index ?? index));
  });
}

// Lengths of the runs of a mask in COCO's compressed encoding, of pixels in columns.
function runs(text) {
  const found = [];
  for (let place = 0; place < text.length; ) {
    let length = 0;
    let bits = 0;
    let code;
    do {
      code = text.charCodeAt(place++) - 48;
      length |= (code & 31) << bits;
      bits += 5;
    } while (code & 32);
    if (code & 16) length |= -1 << bits;
    found.push(found.length > 2 ? length + found[found.length - 2] : length);
  }
  return found;
}

const shades = new WeakMap(); // canvases of masks by item

function shade(item, fill) {
  if (shades.has(item)) return shades.get(item);
  const [height, width] = item.mask.size;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  let place = 0;
  runs(item.mask.counts).forEach((length, number) => {
    for (const end = place + length; place < end; place++) {
      if (number % 2) pixels.data[4 * ((place % height) * width + Math.floor(place / height)) + 3] = 128;
    }
  });
  pen.putImageData(pixels, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = fill;
  pen.fillRect(0, 0, width, height);
  shades.set(item, canvas);
  return canvas;
}

function joints(pen, item, unit) {
  const points = Object.values(item.keypoints ?? {});
  const seen = (point) => point && point.confidence >= threshold();
  for (const [a, b] of model().limbs ?? []) {
    if (!seen(points[a]) || !seen(points[b])) continue;
    pen.beginPath();
    pen.moveTo(points[a].x, points[a].y);
    pen.lineTo(points[b].x, points[b].y);
    pen.stroke();
  }
  pen.fillStyle = pen.strokeStyle;
  for (const point of points.filter(seen)) {
    pen.beginPath();
    pen.arc(point.x, point.y, unit * 1.5, 0, 2 * Math.PI);
    pen.fill();
  }
}

function caption(pen, text, left, top, background) {
  const height = parseFloat(pen.font) * 1.3;
  const x = Math.max(0, left);
  const y = Math.max(height, top);
  pen.fillStyle = background;
  pen.fillRect(x, y - height, pen.measureText(text).width + 6, height);
  pen.fillStyle = "white";
  pen.fillText(text, x + 3, y - height * 0.28);
}

function fill(items) {
  const cells = (item) => [
    item.label ?? "person",
    measure(item, 3),
    item.box ? item.box.map(Math.round).join(", ") : "",
  ];
  const rows = items.map((item, index) => {
    const row = document.createElement("tr");
    row.tabIndex = 0;
    row.append(...cells(item).map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    const choose = (chosen) => () => { state.chosen = chosen; draw(visible()); };
    for (const event of ["focus", "mouseenter"]) row.addEventListener(event, choose(index));
    for (const event of ["blur", "mouseleave"]) row.addEventListener(event, choose(-1));
    return row;
  });
  $("table").hidden = rows.length === 0;
  $("table").tBodies[0].replaceChildren(...rows);
}

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function openCamera() {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    $("viewfinder").querySelector("video").srcObject = stream;
    $("viewfinder").showModal();
  } catch {
    say("There is no camera, or the browser does not allow it (it needs HTTPS or localhost).", true);
  }
}

function closeCamera() {
  const video = $("viewfinder").querySelector("video");
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  $("viewfinder").close();
}

function shoot() {
  const video = $("viewfinder").querySelector("video");
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  closeCamera();
  canvas.toBlob((blob) => use(blob, "camera.jpg"), "image/jpeg", 0.95);
}

function first(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/") || !file.type);
}

function listen() {
  $("model").addEventListener("change", predict);
  $("threshold").addEventListener("input", render);
  $("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) use(file, file.name);
    event.target.value = ""; // so that the same file can be chosen again
  });
  $("camera").addEventListener("click", openCamera);
  $("shoot").addEventListener("click", shoot);
  $("cancel").addEventListener("click", closeCamera);
  $("viewfinder").addEventListener("cancel", closeCamera);
  $("save-json").addEventListener("click", () => {
    const text = JSON.stringify({ model: model().name, result: visible() }, null, 2);
    download(new Blob([text], { type: "application/json" }), `${state.name}.json`);
  });
  $("save-picture").addEventListener("click", () => {
    $("canvas").toBlob((blob) => download(blob, `${state.name}-results.png`), "image/png");
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("dragenter", () => document.body.classList.add("dragging"));
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const file = first(event.dataTransfer);
    if (file) use(file, file.name);
  });
  document.addEventListener("paste", (event) => {
    const file = first(event.clipboardData);
    if (file) use(file, file.name);
  });
}

async function start() {
  const { models, samples } = await (await fetch("page/models.json")).json();
  state.models = models;
  $("model").append(...models.map((each) => new Option(`${each.name} (${each.task.replaceAll("_", " ")})`)));
  $("samples").append(...samples.map((name) => {
    const button = Object.assign(document.createElement("button"), { type: "button", title: name });
    const source = `page/samples/${name}`;
    button.append(Object.assign(new Image(), { src: source, alt: `Sample photo: ${name}` }));
    button.addEventListener("click", async () => use(await (await fetch(source)).blob(), name));
    return button;
  }));
  listen();
  render();
}

start().catch(() => say("The server does not answer.", true));
