// Asks how the test goes until it is over. Without scripts the page loads itself anew.
const LOOK_EVERY_MS = 500;
const page = document.getElementById("engine-test");
const part = (name) => page.querySelector(`[data-${name}]`);

function show(test) {
  part("sentence").textContent = test.sentence;
  const figures = Object.entries(test.figures).flatMap(([name, value]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value }),
  ]);
  part("figures").replaceChildren(...figures);
  if (test.is_over) {
    page.dataset.outcome = test.is_ok ? "ok" : "failed";
    part("progress").hidden = true;
    part("after").hidden = false;
  }
}

async function look() {
  try {
    const answer = await fetch(page.dataset.now, { signal: AbortSignal.timeout(5000) });
    const test = await answer.json();
    show(test);
    if (test.is_over) return;
  } catch {
    // The backend may be away for a moment.
  }
  setTimeout(look, LOOK_EVERY_MS);
}

setTimeout(look, LOOK_EVERY_MS);
