// Unpacks plotly, then draws every figure in the colours of the theme. Nothing is fetched.
(() => {
  "use strict";
  const root = document.documentElement;

  function failed(reason) {
    const place = document.getElementById("plots-failed");
    place.hidden = false;
    place.textContent = `The pictures could not be drawn (${reason}). The tables hold the numbers.`;
    root.dataset.plots = "failed";
  }

  async function unpacked(block) {
    const bytes = Uint8Array.from(atob(block.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // A colour of a figure is the name of a CSS variable; texts are left as they are.
  function themed(json) {
    const style = getComputedStyle(root);
    const colour = (name) => {
      const found = typeof name === "string" && /^var\((--[a-z0-9-]+)\)$/.exec(name);
      return found ? style.getPropertyValue(found[1]).trim() : name;
    };
    return JSON.parse(json, (key, value) => {
      if (key === "colorscale" && Array.isArray(value)) return value.map(([at, name]) => [at, colour(name)]);
      if (key.endsWith("color")) return Array.isArray(value) ? value.map(colour) : colour(value);
      return value;
    });
  }

  async function drawAll() {
    const places = document.querySelectorAll(".plot");
    for (const place of places) {
      const { data, layout } = themed(await unpacked(place.parentElement.querySelector("script")));
      await Plotly.react(place, data, layout, { displayModeBar: false, responsive: true });
    }
    root.dataset.plots = `drawn ${places.length}`;
  }

  window.addEventListener("error", (event) => failed(event.message));
  window.addEventListener("unhandledrejection", (event) => failed(event.reason));

  async function start() {
    const script = document.createElement("script");
    script.textContent = await unpacked(document.getElementById("plotly"));
    document.head.append(script);
    await drawAll();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    window.addEventListener("beforeprint", () => { root.classList.add("paper"); drawAll(); });
    window.addEventListener("afterprint", () => { root.classList.remove("paper"); drawAll(); });
  }
  start();
})();
