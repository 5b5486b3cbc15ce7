// Charts as inline SVG, drawn for the width there is. Values are read with the pointer, by touch, or with the arrow keys.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 270, TOP = 10, RIGHT = 14, BOTTOM = 44, LEFT = 64, MARKS = 40;

  function add(parent, name, attributes = {}, text = null) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== null) node.textContent = text;
    parent.append(node);
    return node;
  }

  function shown(value) {
    if (value === null) return "–";
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential(2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(5)));
  }

  function linearTicks(low, high, most) {
    const rough = (high - low) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
    const ticks = [];
    for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number++) ticks.push(Number((number * step).toPrecision(12)));
    return ticks;
  }

  function logTicks(low, high, most) {
    const ticks = [], tens = Math.log10(high / low), factors = tens > 3 ? [1] : tens > 1.2 ? [1, 3] : [1, 1.5, 2, 3, 4, 5, 6, 8];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of factors) {
        const tick = Number((factor * 10 ** power).toPrecision(3));
        if (tick >= low && tick <= high) ticks.push(tick);
      }
    }
    const every = Math.ceil(ticks.length / most);
    return ticks.filter((_, number) => number % every === 0);
  }

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.data = JSON.parse(figure.querySelector("script").textContent);
      this.log = this.data.log;
      this.off = new Set();
      this.plot = figure.querySelector(".plot");
      this.tip = figure.querySelector(".tip");
      this.reading = figure.querySelector(".reading");
      this.makeControls(figure.querySelector(".legend"));
      this.place = -1;
      this.svg = add(this.plot, "svg", { tabindex: 0, role: "application", "aria-roledescription": "chart", "aria-label": this.label() });
      this.svg.addEventListener("pointermove", (event) => this.point(event));
      this.svg.addEventListener("pointerdown", (event) => this.point(event));
      this.svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.read(-1));
      this.svg.addEventListener("blur", () => this.read(-1));
      this.svg.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.plot.clientWidth !== this.width && this.draw()).observe(this.plot);
      this.draw();
    }

    label() {
      const title = this.figure.querySelector("figcaption").textContent, names = this.data.series.map((one) => one.name).join(", ");
      return `${title} over ${this.data.x}: ${names}. The left and right arrow keys read values.`;
    }

    makeControls(legend) {
      const button = (text, pressed, click) => {
        const node = document.createElement("button");
        node.type = "button";
        node.setAttribute("aria-pressed", pressed);
        node.append(text);
        node.addEventListener("click", () => {
          const now = node.getAttribute("aria-pressed") !== "true";
          node.setAttribute("aria-pressed", now);
          click(now);
          this.draw();
        });
        legend.append(node);
        return node;
      };
      this.data.series.forEach((one, number) => {
        if (this.data.series.length < 2 && this.data.labels.length) return;
        const node = button(one.name, true, (on) => (on ? this.off.delete(number) : this.off.add(number)));
        node.classList.add("key", `series${number % 8}`);
      });
      if (this.data.log) button("logarithmic", true, (on) => (this.log = on));
    }

    visible() {
      return this.data.series.map((one, number) => ({ ...one, number })).filter((one) => !this.off.has(one.number));
    }

    usable(value) {
      return value !== null && value !== undefined && (!this.log || value > 0);
    }

    scales() {
      const series = this.visible(), every = series.flatMap((one) => [...one.y, ...(one.low ?? []), ...(one.high ?? [])]).filter((v) => this.usable(v));
      this.positions = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
      let low = Math.min(...every), high = Math.max(...every);
      if (!every.length) [low, high] = this.log ? [0.1, 1] : [0, 1];
      if (this.data.zero && !this.log) [low, high] = [Math.min(0, low), Math.max(high, 0)];
      if (low === high) [low, high] = this.log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
      if (this.log) [low, high] = [low / 1.05, high * 1.05];
      else if (high > 0) high += (high - low) * 0.04;
      const scale = this.log ? Math.log : (value) => value, inner = HEIGHT - TOP - BOTTOM;
      this.y = (value) => TOP + (inner * (scale(high) - scale(value))) / (scale(high) - scale(low));
      const bars = this.data.labels.length;
      const [first, last] = bars ? [-0.5, bars - 0.5] : [this.positions[0] ?? 0, this.positions[this.positions.length - 1] ?? 1];
      this.x = (value) => LEFT + ((this.width - LEFT - RIGHT) * (value - first)) / (last - first || 1);
      this.range = { low, high, first, last };
    }

    draw() {
      this.width = this.plot.clientWidth;
      if (!this.width) return; // in a set that is not shown
      this.svg.replaceChildren();
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
      this.svg.setAttribute("width", this.width);
      this.svg.setAttribute("height", HEIGHT);
      this.scales();
      this.drawAxes();
      const behind = (one) => one.kind === "faint";
      for (const one of this.visible().sort((a, b) => behind(b) - behind(a))) this.data.labels.length ? this.drawBars(one) : this.drawCurve(one);
      this.cursor = add(this.svg, "g", { class: "cursor" });
      this.read(-1);
    }

    drawAxes() {
      const { low, high, first, last } = this.range, bottom = HEIGHT - BOTTOM, right = this.width - RIGHT;
      for (const tick of this.log ? logTicks(low, high, 8) : linearTicks(low, high, 6)) {
        add(this.svg, "line", { class: "grid", x1: LEFT, x2: right, y1: this.y(tick), y2: this.y(tick) });
        add(this.svg, "text", { x: LEFT - 6, y: this.y(tick) + 4, "text-anchor": "end" }, shown(tick));
      }
      const most = Math.max(2, Math.floor((right - LEFT) / 60));
      const every = Math.ceil(this.data.labels.length / most);
      const ticks = this.data.labels.length
        ? this.data.labels.map((text, number) => [number, text]).filter(([number]) => number % every === 0)
        : linearTicks(first, last === first ? first + 1 : last, most).map((tick) => [tick, shown(tick)]);
      for (const [tick, text] of ticks) {
        add(this.svg, "line", { class: "axis", x1: this.x(tick), x2: this.x(tick), y1: bottom, y2: bottom + 4 });
        add(this.svg, "text", { x: this.x(tick), y: bottom + 17, "text-anchor": "middle" }, text);
      }
      add(this.svg, "path", { class: "axis", d: `M${LEFT},${TOP}V${bottom}H${right}` });
      add(this.svg, "text", { class: "name", x: (LEFT + right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, this.data.x);
      const middle = (TOP + bottom) / 2;
      add(this.svg, "text", { class: "name", x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, this.data.y);
    }

    drawCurve(one) {
      const group = add(this.svg, "g", { class: `series${one.number % 8} ${one.kind}` });
      let path = "", pen = "M";
      one.x.forEach((x, place) => {
        if (this.usable(one.y[place])) path += `${pen}${this.x(x).toFixed(1)},${this.y(one.y[place]).toFixed(1)}`;
        pen = this.usable(one.y[place]) ? "L" : "M";
      });
      if (path) add(group, "path", { d: path });
      if (one.kind !== "points" || one.x.length > MARKS) return;
      one.x.forEach((x, place) => this.usable(one.y[place]) && add(group, "circle", { cx: this.x(x), cy: this.y(one.y[place]), r: 3 }));
    }

    drawBars(one) {
      const group = add(this.svg, "g", { class: `series${one.number % 8} bars` }), half = Math.min(24, 0.36 * (this.x(1) - this.x(0)));
      one.x.forEach((x, place) => {
        if (!this.usable(one.y[place])) return;
        const top = this.y(one.y[place]), base = this.y(Math.max(0, this.range.low));
        add(group, "rect", { x: this.x(x) - half, width: 2 * half, y: Math.min(top, base), height: Math.abs(base - top) });
        if (!one.low || one.low[place] === null) return;
        const [low, high] = [this.y(one.low[place]), this.y(one.high[place])], middle = this.x(x);
        add(group, "path", { class: "interval", d: `M${middle},${low}V${high}M${middle - 5},${high}h10M${middle - 5},${low}h10` });
      });
    }

    point(event) {
      const box = this.svg.getBoundingClientRect(), at = event.clientX - box.left;
      let best = -1;
      this.positions.forEach((x, place) => {
        if (best < 0 || Math.abs(this.x(x) - at) < Math.abs(this.x(this.positions[best]) - at)) best = place;
      });
      this.read(best);
    }

    key(event) {
      const last = this.positions.length - 1, page = Math.max(1, Math.round(last / 10));
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
      if (event.key === "Escape") this.read(-1);
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.read(Math.min(last, Math.max(0, this.place + steps[event.key])));
      this.reading.textContent = this.lines(this.place).join("; ");
    }

    // The point of a curve that is nearest to a position.
    nearest(one, x) {
      let best = -1;
      one.x.forEach((other, place) => {
        if (one.y[place] !== null && (best < 0 || Math.abs(other - x) < Math.abs(one.x[best] - x))) best = place;
      });
      return best;
    }

    lines(place) {
      const x = this.positions[place], bars = this.data.labels;
      const lines = [`${this.data.x} ${bars.length ? bars[x] : shown(x)}`];
      for (const one of this.visible()) {
        const at = this.nearest(one, x);
        if (at < 0) continue;
        const bounds = one.low && one.low[at] !== null ? ` (${shown(one.low[at])} to ${shown(one.high[at])})` : "";
        lines.push(`${one.name} ${shown(one.y[at])}${bounds}${one.x[at] === x ? "" : ` at ${shown(one.x[at])}`}`);
      }
      return lines;
    }

    read(place) {
      this.place = place;
      this.cursor.replaceChildren();
      this.tip.hidden = place < 0;
      if (place < 0) {
        this.reading.textContent = "";
        return;
      }
      const at = this.x(this.positions[place]);
      add(this.cursor, "line", { x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM });
      for (const one of this.visible()) {
        const near = this.nearest(one, this.positions[place]);
        if (near < 0 || !this.usable(one.y[near])) continue;
        add(this.cursor, "circle", { class: `series${one.number % 8}`, cx: this.x(one.x[near]), cy: this.y(one.y[near]), r: 4.5 });
      }
      this.tip.replaceChildren(...this.lines(place).map((line) => Object.assign(document.createElement("div"), { textContent: line })));
      const room = this.width - this.tip.offsetWidth - 4;
      this.tip.style.left = `${Math.max(0, Math.min(room, at > this.width / 2 ? at - this.tip.offsetWidth - 12 : at + 12))}px`;
    }
  }

  for (const figure of document.querySelectorAll("figure.chart")) new Chart(figure);
})();
