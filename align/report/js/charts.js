// Values under the pointer or the arrow keys, smoothed curves, a logarithmic axis.
(() => {
  "use strict";
  const WIDTH = 346;
  const NEAR = 0.02; // of the axis: a run that logs less often has no value there

  const number = (value, share) => {
    if (share) return `${+(100 * value).toPrecision(value && Math.abs(value) < 0.01 ? 2 : 3)} %`;
    return `${+value.toPrecision(4)}`;
  };

  // A mean that forgets, corrected for its start from nothing.
  const smoothed = (values, weight) => {
    let sum = 0;
    let known = 0;
    return values.map((value) => {
      sum = weight * sum + (1 - weight) * value;
      known = weight * known + (1 - weight);
      return sum / known;
    });
  };

  const element = (like, name, attributes) => {
    const made = document.createElementNS(like.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const make = (name, className, text = "") => {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  };

  const logTicks = (low, high, share) => {
    const ticks = [];
    const many = Math.log10(high / low);
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      if (many > 6 && power % 2) continue;
      for (const factor of many > 2 ? [1] : many > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]) {
        const tick = factor * 10 ** power;
        if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push([tick, number(tick, share)]);
      }
    }
    return ticks;
  };

  // The axis and where a value lies on it, from 0 below to 1 above; null where the logarithm finds nothing.
  const scaleOf = (data, isLog) => {
    const [low, high] = data.values;
    if (!isLog) return { ticks: data.ticks, place: (value) => (value - low) / (high - low) };
    const above = data.lines.flatMap((line) => line.low || line.y).filter((value) => value > 0);
    if (data.stacked || !above.length) return null;
    const most = Math.max(...data.lines.flatMap((line) => line.high || line.y));
    const least = Math.min(...above) / 1.1;
    const span = Math.log((most * 1.1) / least);
    return {
      ticks: logTicks(least, most * 1.1, data.share),
      place: (value) => (value > 0 ? Math.log(value / least) / span : NaN),
    };
  };

  const chartOf = (figure) => {
    const data = JSON.parse(figure.dataset.chart);
    const svg = figure.querySelector("svg");
    const [left, top, right, bottom] = data.box;
    const [first, last] = data.steps;
    const group = svg.lastElementChild;
    const asDrawn = [...group.childNodes];
    const steps = [...new Set(data.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    const linear = make("span", "soft", " Not on a logarithmic scale: no value is above 0, or parts add up.");
    const tip = make("div", "tip");
    const cursor = element(svg, "g", { class: "cursor" });
    let scale = scaleOf(data, false);
    let curves = data.lines.map((line) => line.y);
    let weight = 0;
    let at = -1;

    const x = (step) => (last > first ? left + ((step - first) / (last - first)) * (right - left) : (left + right) / 2);
    const y = (value) => bottom - scale.place(value) * (bottom - top);
    const path = (along, values) =>
      values
        .map((value, i) => [x(along[i]), y(value)])
        .map(([px, py], i, all) => {
          if (!isFinite(py)) return "";
          return `${i && isFinite(all[i - 1][1]) ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
        })
        .join("");
    const colour = (line) => `var(--c${line.colour})`;

    const drawLine = (line, values, opacity = 1) => {
      const drawn = element(svg, "path", { class: "curve", d: path(line.x, values), opacity });
      drawn.style.stroke = colour(line);
      if (line.dashed) drawn.setAttribute("stroke-dasharray", "6 3");
      return line.x.length > 1 ? [drawn] : [];
    };
    const drawArea = (line, low, high, opacity) => {
      const back = path([...line.x].reverse(), [...low].reverse()).replace("M", "L");
      const drawn = element(svg, "path", { d: `${path(line.x, high)}${back}Z`, opacity });
      drawn.style.fill = colour(line);
      return line.x.length > 1 && !/NaN/.test(back) ? [drawn] : [];
    };
    const drawLines = () => {
      if (data.stacked) {
        let below = curves[0].map(() => 0);
        return data.lines.flatMap((line, i) => {
          const above = curves[i].map((value, j) => value + below[j]);
          const drawn = drawArea(line, below, above, 1);
          below = above;
          return drawn;
        });
      }
      return data.lines.flatMap((line, i) => {
        if (weight) return [...drawLine(line, line.y, 0.25), ...drawLine(line, curves[i])];
        const isPositive = line.low && line.low.every((value) => isFinite(scale.place(value)));
        return [...(isPositive ? drawArea(line, line.low, line.high, 0.15) : []), ...drawLine(line, line.y)];
      });
    };
    const drawAcross = () =>
      scale.ticks.flatMap(([tick, label]) => {
        const words = element(svg, "text", { x: left - 5, y: y(tick) + 3, "text-anchor": "end" });
        words.textContent = label;
        return [element(svg, "path", { class: "across", d: `M${left} ${y(tick)}H${right}` }), words];
      });

    const draw = (smoothing, isLog) => {
      weight = smoothing;
      const other = scaleOf(data, isLog);
      linear.hidden = Boolean(other);
      scale = other || scaleOf(data, false);
      curves = data.lines.map((line) => (weight ? smoothed(line.y, weight) : line.y));
      const isAsDrawn = !weight && (!isLog || !other);
      group.replaceChildren(...(isAsDrawn ? asDrawn : [...drawAcross(), ...drawLines()]));
      if (at >= 0) show(at);
    };

    const nearest = (line, step) => {
      let best = 0;
      line.x.forEach((each, i) => {
        if (Math.abs(each - step) < Math.abs(line.x[best] - step)) best = i;
      });
      return Math.abs(line.x[best] - step) <= NEAR * (last - first) ? best : -1;
    };
    const row = (line, i, place) => {
      const made = make("div", "");
      const mark = make("i", line.dashed ? "dashed" : "");
      mark.style.borderColor = colour(line);
      const value = (of) => number(of, data.share);
      made.append(mark, `${line.label} `, make("b", "", value(curves[place][i])));
      if (weight) made.append(` from ${value(line.y[i])}`);
      else if (line.low && line.high[i] > line.low[i]) made.append(` (${value(line.low[i])} to ${value(line.high[i])})`);
      return made;
    };
    const show = (index) => {
      at = Math.max(0, Math.min(steps.length - 1, index));
      const step = steps[at];
      const parts = [element(svg, "path", { class: "guide", d: `M${x(step)} ${top}V${bottom}` })];
      tip.replaceChildren(make("div", "soft", `${Number.isInteger(step) ? "" : "about "}step ${Math.round(step)}${weight ? ", smoothed" : ""}`));
      data.lines.forEach((line, place) => {
        const i = nearest(line, step);
        if (i < 0) return;
        tip.append(row(line, i, place));
        const height = data.stacked ? NaN : y(curves[place][i]);
        if (!isFinite(height)) return;
        const dot = element(svg, "circle", { r: 2.6, cx: x(line.x[i]), cy: height });
        dot.style.fill = colour(line);
        parts.push(dot);
      });
      cursor.replaceChildren(...parts);
      const share = (100 * x(step)) / WIDTH;
      tip.style.left = share < 50 ? `${share + 2}%` : "auto";
      tip.style.right = share < 50 ? "auto" : `${102 - share}%`;
      tip.hidden = false;
    };
    const hide = () => {
      at = -1;
      tip.hidden = true;
      cursor.replaceChildren();
    };

    const under = (event) => {
      const box = svg.getBoundingClientRect();
      const step = first + ((((event.clientX - box.left) / box.width) * WIDTH - left) / (right - left)) * (last - first);
      return steps.reduce((best, each, i) => (Math.abs(each - step) < Math.abs(steps[best] - step) ? i : best), 0);
    };
    const keys = {
      ArrowLeft: (by) => show(at < 0 ? steps.length - 1 : at - by),
      ArrowRight: (by) => show(at < 0 ? 0 : at + by),
      Home: () => show(0),
      End: () => show(steps.length - 1),
      Escape: hide,
    };
    const start = () => {
      linear.hidden = tip.hidden = true;
      tip.setAttribute("role", "status");
      figure.querySelector("figcaption").append(linear);
      svg.append(cursor);
      const plot = make("div", "plot-box");
      svg.replaceWith(plot);
      plot.append(svg, tip);
      svg.tabIndex = 0;
      svg.setAttribute("aria-description", "Left and right show the values of a step, Home and End the first and the last.");
      svg.addEventListener("pointermove", (event) => show(under(event)));
      svg.addEventListener("pointerdown", (event) => show(under(event)));
      // A finger that is lifted leaves, too; a touch elsewhere takes the focus, and hides.
      svg.addEventListener("pointerleave", (event) => event.pointerType === "touch" || hide());
      svg.addEventListener("blur", hide);
      svg.addEventListener("keydown", (event) => {
        if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        keys[event.key](event.shiftKey ? 10 : 1);
      });
    };
    if (steps.length) start();
    return { draw };
  };

  const addTools = (charts, drawn) => {
    const tools = make("div", "tools");
    const [smoothing, log] = [document.createElement("input"), document.createElement("input")];
    Object.assign(smoothing, { type: "range", id: "smoothing", min: 0, max: 0.95, step: 0.05, value: 0 });
    Object.assign(log, { type: "checkbox", id: "log" });
    const amount = make("output", "", "0");
    const labels = [make("label", "", "Smoothing "), make("label", "")];
    labels[0].append(smoothing, amount);
    labels[1].append(log, " Logarithmic scale");
    tools.append(...labels);
    tools.addEventListener("input", () => {
      amount.textContent = smoothing.value;
      for (const chart of drawn) chart.draw(Number(smoothing.value), log.checked);
    });
    charts.before(tools);
  };

  // One set of controls, above the first curve, for all.
  const drawn = [...document.querySelectorAll("figure[data-chart]")].map(chartOf);
  if (drawn.length) addTools(document.querySelector(".charts:has(figure[data-chart])"), drawn);
})();
