"""The page of the subjective study. ``%CONTENT%`` becomes the study's JSON."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>3D faces: your opinion</title>
<style>
:root { color-scheme: light; --ink: #1d2430; --soft: #667085; --line: #d5dae3; --accent: #2457c5; }
* { box-sizing: border-box; }
body { margin: 0; font: 17px/1.5 system-ui, sans-serif; color: var(--ink); background: #f5f6f9; }
main { max-width: 920px; margin: 0 auto; padding: 16px 20px 40px; }
h1 { font-size: 1.35rem; margin: 0 0 4px; }
p { margin: 4px 0 14px; color: var(--soft); }
img { width: 100%; max-height: 46vh; object-fit: contain; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
fieldset { border: 0; padding: 0; margin: 9px 0 0; display: grid; grid-template-columns: 1fr auto; gap: 2px 18px; align-items: center; }
legend { padding: 0; font-weight: 600; }
.scale { display: flex; gap: 6px; align-items: center; }
.scale label { position: relative; cursor: pointer; }
.scale input { position: absolute; opacity: 0; }
.scale span { display: grid; place-items: center; min-width: 44px; height: 40px; padding: 0 8px; border: 1px solid var(--line);
  border-radius: 8px; background: #fff; }
.scale input:checked + span { background: var(--accent); border-color: var(--accent); color: #fff; }
.scale input:focus-visible + span { outline: 3px solid #9db8f2; }
small { color: var(--soft); }
nav { display: flex; justify-content: space-between; margin-top: 16px; }
#done { color: var(--ink); font-weight: 600; min-height: 1.5em; margin: 14px 0 0; }
button { font: inherit; padding: 10px 22px; border-radius: 8px; border: 1px solid var(--line); background: #fff; cursor: pointer; }
button.main { background: var(--accent); border-color: var(--accent); color: #fff; }
button:disabled { opacity: .4; cursor: default; }
progress { width: 100%; height: 8px; accent-color: var(--accent); }
@media (max-width: 640px) { fieldset { grid-template-columns: 1fr; } .scale { flex-wrap: wrap; } }
</style>
</head>
<body>
<main>
<h1>How good is this 3D face?</h1>
<p id="where"></p>
<progress id="bar" value="0" max="1"></progress>
<section id="sheet"></section>
<nav><button id="back">Back</button><button id="next" class="main">Next</button></nav>
<p id="done" role="status"></p>
</main>
<script type="application/json" id="content">%CONTENT%</script>
<script>
"use strict";
const content = JSON.parse(document.getElementById("content").textContent);
const questions = [
  ["realism", "Realism", "Does it look like a real person?"],
  ["texture", "Texture", "Do skin and colours match the photo?"],
  ["shape", "Shape", "Does the shape of the face match the photo?"],
  ["occlusion", "Occlusion", "Is what hides the face (hair, hands, glasses) handled well?"],
];
const store = "study-" + content.study;
const saved = JSON.parse(localStorage.getItem(store) || "null");
const order = saved ? saved.order : shuffled(content.entries.map((_, k) => k));
const answers = saved ? saved.answers : {};
let at = saved ? saved.at : 0;

function shuffled(list) {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}
function keep() {
  try { localStorage.setItem(store, JSON.stringify({order, answers, at})); } catch (error) { /* private window: nothing is kept */ }
}
function complete(token) {
  const given = answers[token];
  return given !== undefined && questions.every(([key]) => key in given);
}
function show() {
  const sheet = document.getElementById("sheet");
  const entry = content.entries[order[at]];
  const given = answers[entry.token] || (answers[entry.token] = {});
  document.getElementById("where").textContent = `Picture ${at + 1} of ${order.length}. 1 is bad, 5 is good.`;
  document.getElementById("done").textContent = "";
  sheet.replaceChildren();
  const picture = document.createElement("img");
  picture.src = entry.picture;
  picture.alt = "A photo and the 3D face made from it";
  sheet.append(picture);
  for (const [key, title, text] of questions) {
    const field = document.createElement("fieldset");
    const words = document.createElement("div");
    words.innerHTML = `<strong>${title}</strong><br><small>${text}</small>`;
    const scale = document.createElement("div");
    scale.className = "scale";
    const choices = [1, 2, 3, 4, 5].map(n => [n, String(n)]);
    if (key === "occlusion") choices.push([null, "nothing hides it"]);
    for (const [value, caption] of choices) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "radio";
      input.name = key;
      input.setAttribute("aria-label", `${title}: ${caption}`);
      input.checked = key in given && given[key] === value;
      input.addEventListener("change", () => { given[key] = value; keep(); buttons(); });
      const box = document.createElement("span");
      box.textContent = caption;
      label.append(input, box);
      scale.append(label);
    }
    field.append(words, scale);
    sheet.append(field);
  }
  buttons();
  keep();
}
function buttons() {
  document.getElementById("bar").value = order.filter(k => complete(content.entries[k].token)).length / order.length;
  const last = at === order.length - 1;
  const next = document.getElementById("next");
  document.getElementById("back").disabled = at === 0;
  next.textContent = last ? "Save answers" : "Next";
  const entry = content.entries[order[at]];
  next.disabled = last ? !order.every(k => complete(content.entries[k].token)) : !complete(entry.token);
}
document.getElementById("back").addEventListener("click", () => { at--; show(); });
document.getElementById("next").addEventListener("click", () => {
  if (at < order.length - 1) { at++; show(); window.scrollTo(0, 0); return; }
  const text = JSON.stringify({schema: content.schema, study: content.study, order: order.map(k => content.entries[k].token), answers}, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = `answers-${content.study}-${Math.random().toString(36).slice(2, 8)}.json`;
  link.click();
  document.getElementById("done").textContent = `Thank you. Your answers are in ${link.download}; please send it to whoever asked you.`;
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});
show();
</script>
</body>
</html>
"""
