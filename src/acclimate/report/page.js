"use strict";
for (const gallery of document.querySelectorAll(".gallery")) {
  const shots = [...gallery.querySelectorAll(".shot")];
  const compare = gallery.querySelector(".compare");
  const part = (name) => compare.querySelector(name);
  const [stage, split, under, over] = [".stage", ".split", ".under", ".over"].map(part);
  const [pickImage, pickLeft, pickRight] = [".pick-image", ".pick-left", ".pick-right"].map(part);

  // boxes are drawn on the photograph already
  const boxed = "boxed" in gallery.dataset;
  const [strength] = [".strength"].map(part);

  // a view is a picture, or one laid over the photograph: predictions in part, errors and differences where they are
  const nameOf = (img, view = img.dataset.view) =>
    (img.dataset.model ? img.dataset.model + ", " : "") + (view === "input" ? "photo" : view);
  function views(shot) {
    const images = [...shot.querySelectorAll("img[data-view]")];
    const photo = images.find((img) => img.dataset.view === "input");
    return images.flatMap((img) => {
      const { view, role } = img.dataset;
      const made = { name: nameOf(img), img, base: photo, role, kind: view };
      if (view === "prediction" && !boxed) return [{ ...made, name: nameOf(img, "overlay"), kind: "overlay" }, made];
      return [made];
    });
  }
  const option = (text, value) => Object.assign(document.createElement("option"), { textContent: text, value });

  function show(pane, tag, view) {
    const [base, top] = [".base", ".top"].map((name) => pane.querySelector(name));
    base.src = view.base.src;
    top.src = view.img.src;
    top.alt = view.kind === "overlay" ? view.img.alt + ", laid over the photo" : view.img.alt;
    pane.dataset.kind = view.kind;
    tag.textContent = view.name;
  }
  function draw() {
    const found = views(shots[pickImage.value]);
    const [left, right] = [pickLeft, pickRight].map((pick) => found.find((view) => view.name === pick.value) || found[0]);
    stage.style.aspectRatio = left.img.getAttribute("width") + " / " + left.img.getAttribute("height");
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
    const names = found.map((view) => view.name);
    const overlays = found.filter((view) => view.kind === (boxed ? "prediction" : "overlay"));
    const playing = (role, otherwise) => (overlays.find((view) => view.role === role) || otherwise || found[0]).name;
    fill(pickLeft, names, overlays.length > 1 ? playing("source-only", overlays[0]) : "photo");
    fill(pickRight, names, playing("best", overlays[overlays.length - 1]));
    draw();
  }
  const fade = () => gallery.style.setProperty("--strength", strength.value / 100);
  strength.addEventListener("input", fade);
  const slide = () => stage.style.setProperty("--at", split.value + "%");

  shots.forEach((shot, index) => pickImage.append(option(shot.dataset.domain + ": " + shot.dataset.name, index)));
  pickImage.addEventListener("change", () => choose(pickImage.value));
  for (const pick of [pickLeft, pickRight]) pick.addEventListener("change", draw);
  split.addEventListener("input", slide);
  part(".swap").addEventListener("click", () => {
    [pickLeft.value, pickRight.value] = [pickRight.value, pickLeft.value];
    draw();
  });
  for (const shot of shots) {
    const photo = shot.querySelector("img[data-view=input]");
    for (const img of shot.querySelectorAll("img[data-view=prediction]")) {
      const under = document.createElement("span");
      under.className = "under-photo";
      img.replaceWith(under);
      under.append(Object.assign(new Image(), { src: photo.src, alt: "" }), img);
    }
  }
  const lay = () => gallery.classList.toggle("overlaid", part(".laid").checked);
  part(".laid").addEventListener("change", lay);
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
  fade();
  lay();
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

// on a narrow screen every row of a table is a card: each cell says what it is
for (const table of document.querySelectorAll("table")) {
  if (!table.tHead || !table.tBodies.length) continue;
  const heads = [...table.tHead.rows[0].cells];
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => {
      if (heads[column] && !cell.dataset.label) cell.dataset.label = heads[column].textContent.trim();
    });
  }
  if (!table.classList.contains("shares")) table.classList.add("cards");
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
