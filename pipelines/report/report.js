// Draws the figures of a page; on a phone and on paper within the width there is.
const NARROW = matchMedia("(max-width: 640px)").matches;
const PAPER_PX = 700;
// A figure on paper is the one on the screen, smaller: nothing in it comes closer together.
const PAPER_SCALE = 0.68;
const TEMPLATE = JSON.parse(document.getElementById("template").textContent);
const BAR = matchMedia("(hover: hover)").matches ? "hover" : false;

function wrapped(text, width) {
  const lines = [""];
  for (const word of String(text).split(" ")) {
    const last = lines[lines.length - 1];
    if (last && (last + " " + word).length > width) lines.push(word);
    else lines[lines.length - 1] = last ? last + " " + word : word;
  }
  return lines.join("<br>");
}

function axesOf(layout) {
  return Object.keys(layout).filter(name => /^[xy]axis\d*$/.test(name)).map(name => layout[name]);
}

// Names of bars stand on several lines instead of beside the picture.
function wrapCategories(figure, width) {
  const names = [...new Set(figure.data.flatMap(trace => Array.isArray(trace.y) ? trace.y : []))];
  if (!names.length || !names.every(name => typeof name === "string" && isNaN(Date.parse(name)))) return;
  figure.layout.yaxis = {...figure.layout.yaxis, tickmode: "array", tickvals: names,
    ticktext: names.map(name => name.includes("<br>") ? name : wrapped(name, width))};
}

function forPhone(figure) {
  const layout = figure.layout;
  layout.margin = {...layout.margin, l: 8, r: 12};
  layout.font = {...layout.font, size: 11};
  wrapCategories(figure, 18);
  for (const axis of axesOf(layout)) {
    axis.automargin = true;
    axis.tickfont = {size: 10};
    if (axis.title && axis.title.text) axis.title = {text: wrapped(axis.title.text, 30), font: {size: 11}};
  }
  for (const trace of figure.data) {
    if (trace.textposition === "outside") trace.textposition = "auto";
    if (trace.mode) trace.mode = trace.mode.replace("+text", "");  // they lie on each other
  }
  if (layout.coloraxis) layout.coloraxis.showscale = false;
  const notes = layout.annotations || [];
  const names = notes.filter(note => note.xanchor === "left" && note.font && note.font.color);
  if (names.length && names.length === figure.data.length) {  // names at the ends of lines
    layout.annotations = notes.filter(note => !names.includes(note));
    figure.data.forEach(trace => { trace.showlegend = true; });
    layout.showlegend = true;
  }
  for (const note of layout.annotations || []) {
    note.font = {...note.font, size: 9};
    note.text = wrapped(note.text, 24);
  }
}

function draw(box) {
  const figure = JSON.parse(box.nextElementSibling.textContent);
  figure.layout.template ??= TEMPLATE;
  if (NARROW) forPhone(figure);
  Plotly.newPlot(box, figure.data, figure.layout,
    {responsive: true, displaylogo: false, displayModeBar: NARROW ? false : BAR});
}

// What is there and not drawn yet: a page that comes part by part asks again after each.
function drawAll() {
  document.querySelectorAll(".plot:not(.js-plotly-plot)").forEach(draw);
}

drawAll();
const drawn = () => document.querySelectorAll(".plot");
addEventListener("beforeprint", () => {
  for (const box of drawn()) {
    box.style.zoom = PAPER_SCALE;
    Plotly.relayout(box, {autosize: false, width: PAPER_PX / PAPER_SCALE});
  }
});
addEventListener("afterprint", () => {
  for (const box of drawn()) {
    box.style.zoom = "";
    Plotly.relayout(box, {autosize: true, width: null});
  }
});
