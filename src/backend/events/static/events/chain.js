// The chain of engines: rows that can be moved, added and taken out. Without this script the selects alone do.
"use strict";
{
  const button = (label, sign, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = sign;
    made.setAttribute("aria-label", label);
    made.title = label;
    made.addEventListener("click", act);
    return made;
  };

  const enhance = (list) => {
    const rows = () => [...list.querySelectorAll(".chain-row")];
    const shown = () => rows().filter((row) => !row.hidden);
    const last = list.querySelector(".chain-last");

    const refresh = () => {
      const visible = shown();
      for (const [at, row] of visible.entries()) {
        row.querySelector("[data-up]").disabled = at === 0;
        row.querySelector("[data-down]").disabled = at === visible.length - 1;
        row.querySelector("select").setAttribute("aria-label", `Engine ${at + 1}`);
      }
      add.disabled = visible.length === rows().length;
    };

    for (const row of rows()) {
      const select = row.querySelector("select");
      const up = button("Move up", "↑", () => {
        const before = shown()[shown().indexOf(row) - 1];
        list.insertBefore(row, before);
        refresh();
        (up.disabled ? down : up).focus();
      });
      const down = button("Move down", "↓", () => {
        const after = shown()[shown().indexOf(row) + 1];
        list.insertBefore(after, row);
        refresh();
        (down.disabled ? up : down).focus();
      });
      const out = button("Take out", "✕", () => {
        select.value = "";
        row.hidden = true;
        list.insertBefore(row, last);
        refresh();
        add.focus();
      });
      up.dataset.up = down.dataset.down = "";
      row.append(up, down, out);
      row.hidden = select.value === "";
    }

    const add = button("Add an engine", "+ Add an engine", () => {
      const row = rows().find((one) => one.hidden);
      row.hidden = false;
      list.insertBefore(row, last);
      refresh();
      row.querySelector("select").focus();
    });
    add.className = "chain-add";
    list.after(add);
    refresh();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-chain]").forEach(enhance));
}
