// What a person does on the page, and what the server answers.
import { Scene } from "./scene.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let network, scene, view;
let files = [], chosen = null, frame = 0, asked = 0;

async function ask(address, options) {
  const answer = await fetch(address, options);
  if (answer.ok) return answer;
  const text = await answer.text();
  try {
    throw new Error(JSON.parse(text).error);
  } catch (error) {
    throw error instanceof SyntaxError ? new Error(`${answer.status}: ${text}`) : error;
  }
}

// Show what is going on while `work` is, and the sentence where it fails.
async function busy(text, work) {
  const state = $("state");
  state.className = "busy";
  state.textContent = text;
  try {
    await work();
    if (state.textContent === text) { state.className = ""; state.textContent = ""; }
  } catch (error) {
    state.className = "error";
    state.textContent = error.message;
  }
}

async function send(list) {
  for (const file of list) {
    await busy(`sending ${file.name} ...`, async () => {
      const address = `api/files?name=${encodeURIComponent(file.name)}`;
      files.push(await (await ask(address, { method: "POST", body: file })).json());
      listFiles();
      await open(files.at(-1), 0);
    });
  }
}

async function remove(file) {
  await busy(`removing ${file.name} ...`, async () => {
    await ask(`api/files/${file.id}`, { method: "DELETE" });
    files = files.filter((other) => other !== file);
    if (chosen === file) { chosen = view = null; showPicture(); $("angles").replaceChildren(); }
    listFiles();
  });
}

async function open(file, number) {
  chosen = file;
  frame = number;
  listFiles();
  await busy("looking at the animal ...", () => look());
}

// Ask for the frame that is chosen; `joints` are all that were moved in it.
async function look(joints) {
  const number = ++asked;
  const options = joints && { method: "POST", body: JSON.stringify({ joints }) };
  const found = await (await ask(`api/files/${chosen.id}/${frame}`, options)).json();
  if (number !== asked) return; // Another frame was chosen meanwhile.
  view = found;
  showPicture();
  showAngles();
  if (scene) scene.show(view.vertices);
}

function listFiles() {
  $("files").replaceChildren(...files.map((file) => {
    const line = document.createElement("li");
    const name = Object.assign(document.createElement("button"), {
      className: "open", textContent: file.name, title: file.name,
    });
    const cross = Object.assign(document.createElement("button"), {
      textContent: "×", title: `remove ${file.name}`,
    });
    name.onclick = () => open(file, 0);
    cross.onclick = () => remove(file);
    line.className = file === chosen ? "chosen" : "";
    line.append(name, cross);
    return line;
  }));
  for (const id of ["save-labels", "save-results"]) $(id).disabled = !files.length;
  $("frames").hidden = !chosen || chosen.n_frames < 2;
  if (chosen) {
    $("frame").max = chosen.n_frames - 1;
    $("frame").value = frame;
    $("frame-number").textContent = `frame ${frame} of ${chosen.n_frames}`;
  }
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function showPicture() {
  const overlay = $("overlay");
  $("reset").disabled = !view || !Object.keys(view.told).length;
  if (!view) { overlay.replaceChildren(); return; }
  const [width, height] = view.size_px;
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const href = $("show-mesh").checked ? view.overlay : view.picture;
  const parts = [element("image", { href, width, height })];
  if ($("show-joints").checked) parts.push(...bones(), ...joints());
  overlay.replaceChildren(...parts);
}

const isKnown = (place) => place[0] !== null && place[1] !== null;

function bones() {
  const places = view.joints_px;
  return network.parents.flatMap((parent, joint) => {
    if (parent < 0 || !isKnown(places[parent]) || !isKnown(places[joint])) return [];
    const [[x1, y1], [x2, y2]] = [places[parent], places[joint]];
    return [element("line", { x1, y1, x2, y2 })];
  });
}

function joints() {
  const radius = Math.max(...view.size_px) / 110;
  return view.joints_px.flatMap((place, joint) => {
    if (!isKnown(place)) return [];
    const name = network.joint_names[joint];
    const told = view.told[name];
    const [cx, cy] = told ?? place;
    const dot = element("circle", { cx, cy, r: radius, "data-joint": name });
    if (told) dot.classList.add("told");
    dot.addEventListener("pointerenter", () => { $("joint").textContent = name; });
    dot.addEventListener("pointerdown", (event) => drag(event, dot, name));
    return [dot];
  });
}

function drag(event, dot, name) {
  const overlay = $("overlay");
  event.preventDefault();
  dot.setPointerCapture(event.pointerId);
  dot.classList.add("dragged");
  let place = null;
  dot.onpointermove = (moved) => {
    const point = new DOMPoint(moved.clientX, moved.clientY);
    const { x, y } = point.matrixTransform(overlay.getScreenCTM().inverse());
    place = [Math.round(x * 100) / 100, Math.round(y * 100) / 100];
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
    $("joint").textContent = `${name} (${x.toFixed(1)}, ${y.toFixed(1)})`;
  };
  dot.onpointerup = dot.onpointercancel = () => {
    dot.onpointermove = dot.onpointerup = dot.onpointercancel = null;
    dot.classList.remove("dragged");
    if (place) busy("the animal follows ...", () => look({ ...view.told, [name]: place }));
  };
}

function showAngles() {
  $("angles").replaceChildren(...view.angles.map(({ joint, angle, value_deg }) => {
    const row = document.createElement("tr");
    for (const text of [joint, angle, value_deg.toFixed(1)]) row.insertCell().textContent = text;
    return row;
  }));
}

async function download(address, name) {
  await busy(`making ${name} ...`, async () => {
    const content = await (await ask(address)).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}

function listen() {
  const drop = $("drop");
  $("choose").onchange = async (event) => {
    await send([...event.target.files]);
    event.target.value = "";
  };
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") send([...event.dataTransfer.files]);
    });
  }
  $("frame").onchange = (event) => open(chosen, Number(event.target.value));
  $("show-mesh").onchange = $("show-joints").onchange = showPicture;
  $("reset").onclick = () => busy("as it was ...", () => look({}));
  $("save-labels").onclick = () =>
    download(`api/labels.zip?all_joints=${$("all-joints").checked}`, "labels.zip");
  $("save-results").onclick = () => download("api/results.zip", "results.zip");
}

await busy("loading ...", async () => {
  network = await (await ask("api/network")).json();
  $("network").textContent = network.name;
  $("dragging").textContent = `Drag a joint that is wrong. ${network.dragging}`;
  listen();
  listFiles();
  showPicture();
  try {
    scene = new Scene($("scene"), network.faces);
  } catch {
    $("scene").hidden = true;
    $("no-scene").hidden = false;
  }
});
