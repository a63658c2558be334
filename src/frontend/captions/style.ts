// The element's style as a constructable sheet: a page with a strict style-src needs no exception for it.

// Light on near-black, each at least 7:1 there; names are also written, so colour alone tells nothing.
export const COLOURS_ON_DARK = ["#8ecbff", "#ffd479", "#9be49b", "#ffb3c7", "#d3b8ff", "#7fe3d4", "#ffbe8f", "#dfe37a"];

const CSS = `
:host {
  --row: 1.4em;
  --turn: calc(0.75em + 0.72em * 1.3 + 2 * 1.4em);
  display: block;
  pointer-events: none;
  color: var(--room-captions-color, #fff);
  font: 500 var(--room-captions-size, clamp(1.25rem, 1rem + 1.1vw, 1.9rem)) / 1.4
    var(--room-captions-font, system-ui, sans-serif);
}
:host([hidden]) { display: none; }
/* Places of one height, counted from the bottom: nobody's words move when somebody else begins or ends. */
[part="overlay"] {
  display: grid;
  grid-template-rows: repeat(var(--slots, 0), minmax(var(--turn), auto));
  gap: 0.3em;
}
.turn {
  box-sizing: border-box;
  min-width: 0;
  padding: 0.35em 0.75em 0.4em;
  border-radius: 0.4em;
  background: var(--room-captions-background, rgb(9 13 18 / 95%));
}
.name {
  display: block;
  overflow: hidden;
  font-size: 0.72em;
  font-weight: 650;
  line-height: 1.3;
  text-overflow: ellipsis;
  white-space: nowrap;
}
/* Two rows from the first word on, filled from the top; what does not fit waits below, out of sight. */
.words {
  height: calc(2 * var(--row));
  overflow: hidden;
}
.line {
  margin: 0;
  overflow-wrap: anywhere;
  text-align: start;
  text-wrap: wrap;
}
.announcer {
  position: absolute;
  width: 1px;
  height: 1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}
${COLOURS_ON_DARK.map((colour, index) => `.colour-${index} { color: ${colour}; }`).join("\n")}
@media (forced-colors: active) {
  .turn { border: 1px solid CanvasText; }
}
`;

let sheet: CSSStyleSheet | undefined;

/** One sheet for all captions elements of the page. */
export function captionStyle(): CSSStyleSheet {
  if (sheet === undefined) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
