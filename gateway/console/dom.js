// Elements without markup: text is only ever text.

const SVG = "http://www.w3.org/2000/svg";

function put(node, facts, children) {
  for (const [name, value] of Object.entries(facts ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element with attributes, listeners (`onclick`) and children; text becomes text nodes. */
export function h(name, facts, ...children) {
  return put(document.createElement(name), facts, children);
}

/** The same of SVG. */
export function s(name, facts, ...children) {
  return put(document.createElementNS(SVG, name), facts, children);
}

/** Replace what is in an element. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Set a text only where it differs, so that nothing is laid out or read out again for nothing. */
export function say(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** The heading of a page, with what stands beside it. */
export function head(title, ...beside) {
  return h("div", { class: "head" }, h("h1", null, title), ...beside);
}

/** A card with a heading. */
export function card(title, ...children) {
  return h("section", { class: "card", "aria-label": title }, h("h2", null, title), ...children);
}

/** A state in a word and a colour. */
export function badge(word, kind, title) {
  return h("span", { class: `badge ${kind}`, title }, word);
}

/** Facts by name. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value ?? "–"))));
}

/** A link to another site, where its address is one; else its text. */
export function outside(text, address) {
  if (typeof address !== "string" || !/^https:\/\//.test(address)) return text;
  return h("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, text);
}
