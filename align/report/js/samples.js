// Search, order and filters of completions and pairs, and all of them open or closed at once.
(() => {
  "use strict";

  const make = (name, attributes = {}, ...inner) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...inner);
    return made;
  };
  const labelled = (text, control) => make("label", {}, `${text} `, control);
  const choice = (options) => make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
  const found = (items, key) => [...new Set(items.map((item) => item.dataset[key]).filter(Boolean))];

  const ORDERS = [
    ["", "as listed"],
    ["reward -1", "reward, highest first"],
    ["reward 1", "reward, lowest first"],
    ["step -1", "step, latest first"],
    ["step 1", "step, earliest first"],
  ];

  const sorted = (items, order) => {
    const [key, sign] = order.split(" ");
    const value = (item) => (item.dataset[key] ? Number(item.dataset[key]) * sign : Infinity);
    return order ? [...items].sort((a, b) => value(a) - value(b) || 0) : items;
  };

  // A filter by the ends of a number; of what has no number only an open range holds.
  const range = (items, key, text) => {
    const [low, high] = ["from", "to"].map((end) =>
      make("input", { type: "number", step: "any", ariaLabel: `${text} ${end}`, placeholder: end }),
    );
    const holds = (item) => {
      const value = item.dataset[key] ? Number(item.dataset[key]) : NaN;
      return (low.value === "" || value >= low.value) && (high.value === "" || value <= high.value);
    };
    return { controls: found(items, key).length > 1 ? [make("span", {}, `${text} `, low, " to ", high)] : [], holds };
  };

  const kinds = (items, key, text) => {
    const select = choice([["", "all"], ...found(items, key).map((kind) => [kind, kind])]);
    return {
      controls: found(items, key).length > 1 ? [labelled(text, select)] : [],
      holds: (item) => !select.value || item.dataset[key] === select.value,
    };
  };

  const searching = () => {
    const words = new Map();
    const box = make("input", { type: "search" });
    const text = (item) => {
      if (!words.has(item)) words.set(item, item.textContent.toLowerCase());
      return words.get(item);
    };
    return { controls: [labelled("Search", box)], holds: (item) => text(item).includes(box.value.toLowerCase()) };
  };

  const addTools = (group, number) => {
    const items = [...group.children].filter((item) => item.matches("details"));
    if (items.length < 2) return;
    const order = choice(ORDERS);
    const filters = [
      searching(),
      kinds(items, "why", "Show"),
      kinds(items, "outcome", "Outcome"),
      range(items, "reward", "Reward"),
      range(items, "step", "Step"),
    ];
    const count = make("output", { className: "soft" }, `${items.length} shown`);
    const set = (open) => () => items.filter((item) => !item.hidden).forEach((item) => (item.open = open));
    const buttons = [
      make("button", { type: "button", onclick: set(true) }, "Expand all"),
      make("button", { type: "button", onclick: set(false) }, "Close all"),
    ];
    const sorting = found(items, "step").length + found(items, "reward").length > 2 ? [labelled("Order", order)] : [];
    const tools = make("div", { className: "tools" }, ...filters.flatMap((each) => each.controls), ...sorting, ...buttons, count);
    tools.querySelectorAll("input, select").forEach((control, i) => (control.id = `tool-${number}-${i}`));
    tools.addEventListener("input", () => {
      for (const item of items) item.hidden = !filters.every((filter) => filter.holds(item));
      group.append(...sorted(items, order.value));
      const shown = items.filter((item) => !item.hidden).length;
      count.textContent = shown < items.length ? `${shown} of ${items.length} shown` : `${shown} shown`;
    });
    group.before(tools);
  };

  document.querySelectorAll(".samples").forEach(addTools);
})();
