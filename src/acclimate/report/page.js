"use strict";
for (const gallery of document.querySelectorAll(".gallery")) {
  const shots = [...gallery.querySelectorAll(".shot")];
  const compare = gallery.querySelector(".compare");
  const part = (name) => compare.querySelector(name);
  const [stage, split, under, over] = [".stage", ".split", ".under", ".over"].map(part);
  const [pickImage, pickLeft, pickRight] = [".pick-image", ".pick-left", ".pick-right"].map(part);

  const views = (shot) => [...shot.querySelectorAll("img[data-view]")];
  const nameOf = (img) => (img.dataset.model ? img.dataset.model + ", " : "") + img.dataset.view;
  const option = (text, value) => Object.assign(document.createElement("option"), { textContent: text, value });

  function show(img, tag, source) {
    img.src = source.src;
    img.alt = source.alt;
    img.classList.toggle("ids", source.dataset.view === "label" || source.dataset.view === "prediction");
    tag.textContent = nameOf(source);
  }
  function draw() {
    const found = views(shots[pickImage.value]);
    const [left, right] = [pickLeft, pickRight].map((pick) => found.find((img) => nameOf(img) === pick.value) || found[0]);
    stage.style.aspectRatio = left.getAttribute("width") + " / " + left.getAttribute("height");
    show(over, part(".tag.left"), left);
    show(under, part(".tag.right"), right);
  }
  function fill(pick, names, preferred) {
    const wanted = names.includes(pick.value) ? pick.value : preferred;
    pick.replaceChildren(...names.map((name) => option(name, name)));
    pick.value = names.includes(wanted) ? wanted : names[0];
  }
  function choose(index) {
    pickImage.value = index;
    const found = views(shots[index]);
    const names = found.map(nameOf);
    const predictions = found.filter((img) => img.dataset.view === "prediction");
    const playing = (role, otherwise) => nameOf(predictions.find((img) => img.dataset.role === role) || otherwise);
    fill(pickLeft, names, playing("source-only", predictions[0]));
    fill(pickRight, names, playing("best", predictions[predictions.length - 1]));
    draw();
  }
  const slide = () => stage.style.setProperty("--at", split.value + "%");

  shots.forEach((shot, index) => pickImage.append(option(shot.dataset.domain + ": " + shot.dataset.name, index)));
  pickImage.addEventListener("change", () => choose(pickImage.value));
  for (const pick of [pickLeft, pickRight]) pick.addEventListener("change", draw);
  split.addEventListener("input", slide);
  part(".swap").addEventListener("click", () => {
    [pickLeft.value, pickRight.value] = [pickRight.value, pickLeft.value];
    draw();
  });
  shots.forEach((shot, index) => {
    const button = shot.querySelector(".open");
    button.hidden = false;
    button.addEventListener("click", () => {
      choose(index);
      compare.scrollIntoView();
      split.focus({ preventScroll: true });
    });
  });
  compare.hidden = false;
  choose(0);
  slide();
}

for (const toggle of document.querySelectorAll(".toggle")) {
  toggle.addEventListener("click", () => {
    const on = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", on);
    for (const path of document.querySelectorAll(".chart path")) {
      if (path.dataset.model === toggle.dataset.model) path.classList.toggle("off", !on);
    }
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const original = [...table.tBodies[0].rows];
  heads.forEach((head, column) => {
    if ("unsortable" in head.dataset) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      for (const other of heads) other.removeAttribute("aria-sort");
      const next = { null: "descending", descending: "ascending", ascending: null }[before];
      if (next) head.setAttribute("aria-sort", next);
      const key = (row) => {
        const cell = row.cells[column];
        if (!("value" in cell.dataset)) return cell.textContent.trim();
        return cell.dataset.value === "" ? null : Number(cell.dataset.value);
      };
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        const rising = typeof x === "string" ? x.localeCompare(y) : x - y;
        return next === "ascending" ? rising : -rising;
      };
      table.tBodies[0].append(...(next ? [...original].sort(order) : original));
    });
  });
}
