// Read-outs, switches and the slider of a report. Without this script the page shows the same
// pictures at the last step.
"use strict";
(() => {
  document.documentElement.classList.add("scripted");
  const data = JSON.parse(document.getElementById("data").textContent);
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const draw = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // The index of the number in a sorted list that is closest to a value.
  const closest = (numbers, value) => {
    let low = 0, high = numbers.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (numbers[middle] < value) low = middle; else high = middle;
    }
    return value - numbers[low] < numbers[high] - value ? low : high;
  };

  for (const [name, plot] of Object.entries(data.plots)) {
    const svg = document.querySelector(`svg[data-plot="${name}"]`);
    const figure = svg.closest("figure");
    const hidden = new Set();
    const [left, top, right, bottom] = plot.box;
    const guide = draw("path", { class: "guide" });
    const dots = draw("g", { class: "dots" });
    const readout = make("div", "readout");
    readout.setAttribute("aria-live", "polite");
    svg.append(guide, dots);
    figure.querySelector(".canvas").append(readout);
    let at = null; // of the guide, in pixels of the picture

    const leave = () => {
      at = null;
      readout.replaceChildren();
      dots.replaceChildren();
      guide.removeAttribute("d");
      readout.classList.remove("shown");
    };
    const show = (x) => {
      const lines = plot.lines.filter((line) => line.x.length && !hidden.has(line.line));
      if (!lines.length) return leave();
      const first = lines.reduce((one, other) => {
        const gap = (line) => Math.abs(line.x[closest(line.x, x)] - x);
        return gap(other) < gap(one) ? other : one;
      });
      const nearest = closest(first.x, x);
      at = first.x[nearest];
      const found = lines.map((line) => [line, closest(line.x, at)])
        .filter(([line, place]) => Math.abs(line.x[place] - at) < 8);
      found.sort(([one, i], [other, j]) => plot.best === "high" || !plot.best
        ? one.y[i] - other.y[j] : other.y[j] - one.y[i]);
      guide.setAttribute("d", `M${at} ${top}V${bottom}`);
      dots.replaceChildren(...found.map(([line, place]) => draw("circle", {
        cx: line.x[place], cy: Math.min(Math.max(line.y[place], top), bottom), r: 3, fill: line.color,
      })));
      readout.replaceChildren(
        make("b", "", `${plot.unit} ${first.at[nearest].toLocaleString("en")}`),
        ...found.slice(0, 12).map(([line, place]) => {
          const row = make("div", "");
          const mark = make("i", "");
          mark.style.background = line.color;
          row.append(mark, make("span", "", line.name), make("span", "value", line.text[place]));
          return row;
        }),
        ...(found.length > 12 ? [make("div", "", `and ${found.length - 12} more`)] : []),
      );
      readout.classList.add("shown");
      readout.classList.toggle("left", at > (left + right) / 2);
    };
    const pointed = (event) => {
      const box = svg.getBoundingClientRect();
      show((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width);
    };
    svg.addEventListener("pointermove", pointed);
    svg.addEventListener("pointerdown", pointed);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
    svg.addEventListener("blur", leave);
    svg.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
      const lines = plot.lines.filter((line) => line.x.length && !hidden.has(line.line));
      if (event.key === "Escape") return leave();
      if (!(event.key in steps) || !lines.length) return;
      const xs = lines[0].x;
      const place = at === null ? 0 : closest(xs, at) + steps[event.key];
      show(xs[Math.min(Math.max(place, 0), xs.length - 1)]);
      event.preventDefault();
    });
    for (const button of figure.querySelectorAll(".legend button")) {
      button.disabled = false;
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", on);
        for (const line of button.dataset.lines.split(" ").map(Number)) {
          if (on) hidden.delete(line); else hidden.add(line);
          svg.querySelector(`[data-line="${line}"]`).style.display = on ? "" : "none";
        }
        if (at !== null) show(at);
      });
    }
  }

  // The bars of a layer as one path, as Python draws them.
  const outline = (row, step, layer) => {
    const bars = row.x.length - 1, base = row.top + row.height;
    const width = row.column - row.gap, start = layer * row.column;
    let path = `M${start.toFixed(1)} ${base}`;
    for (let bar = 0; bar < bars; bar++) {
      const height = row.bytes.charCodeAt((step * row.words[0].length + layer) * bars + bar);
      const y = base - row.height * height / 255;
      path += `L${(start + row.x[bar] * width).toFixed(1)} ${y.toFixed(1)}`
        + `H${(start + row.x[bar + 1] * width).toFixed(1)}`;
    }
    return `${path}V${base}`;
  };
  for (const [name, rows] of Object.entries(data.histograms)) {
    const section = document.getElementById(`histograms-${name}`);
    const pictures = [...section.querySelectorAll("svg.histogram")];
    for (const row of rows) row.bytes = atob(row.bars);
    const steps = [...new Set(rows.flatMap((row) => row.steps))].sort((one, other) => one - other);
    const slider = section.querySelector("input");
    const output = section.querySelector("output");
    const slide = () => {
      const step = steps[slider.value];
      output.textContent = step.toLocaleString("en");
      slider.setAttribute("aria-valuetext", `step ${step}`);
      pictures.forEach((picture, place) => {
        const row = rows[place];
        const known = row.steps.filter((each) => each <= step).length - 1;
        const shown = Math.max(known, 0);
        picture.querySelectorAll(".bars").forEach((bars, layer) =>
          bars.setAttribute("d", outline(row, shown, layer)));
        picture.querySelectorAll(".word").forEach((word, layer) => {
          word.textContent = row.words[shown][layer];
        });
      });
    };
    slider.max = steps.length - 1;
    slider.value = slider.max;
    slider.addEventListener("input", slide);
    slide();
  }
})();
