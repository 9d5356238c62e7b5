// Draws each chart again with a cursor. Its figures are those of the table beside it.
(() => {
  "use strict";

  const number = (cell) => (cell.dataset.value ? Number(cell.dataset.value) : null);

  const read = (table) => {
    const titles = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    const rows = [...table.tBodies[0].rows];
    const days = rows.map((row) => Date.parse(`${row.cells[0].textContent.trim()}T00:00Z`) / 1000);
    const lines = titles.slice(1).map((_, n) => rows.map((row) => number(row.cells[n + 1])));
    return { titles, rows, data: [days, ...lines] };
  };

  const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
  const short = (value) =>
    Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);

  const month = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
  const dates = (_, all) => all.map((seconds) => month.format(new Date(seconds * 1000)));

  // What comes in whole numbers is counted in them.
  const whole = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].flatMap((n) => [n, 2 * n, 5 * n]);
  const steps = (lines) => (lines.flat().every(Number.isInteger) ? { incrs: whole } : {});

  const axis = (more) => ({
    stroke: () => colour("--quiet"),
    grid: { stroke: () => colour("--rule"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
    ...more,
  });

  const describe = (tip, found, n) => {
    const heading = document.createElement("strong");
    heading.textContent = day(found.data[0][n]);
    const lines = found.titles.slice(1).map((title, column) => {
      const line = document.createElement("div");
      line.textContent = `${title} ${found.rows[n].cells[column + 1].textContent.trim()}`;
      return line;
    });
    tip.replaceChildren(heading, ...lines);
  };

  const follow = (tip, found) => (plot) => {
    const n = plot.cursor.idx;
    tip.hidden = n === null || n === undefined;
    if (tip.hidden) return;
    describe(tip, found, n);
    const left = plot.over.offsetLeft + plot.valToPos(found.data[0][n], "x");
    const room = plot.root.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(left + 12, room))}px`;
  };

  const draw = (figure) => {
    const place = figure.querySelector(".plot");
    const found = read(figure.querySelector("table"));
    if (found.rows.length < 2) return;
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    const size = () => ({ width: place.clientWidth, height: place.clientHeight });
    const names = [...figure.querySelectorAll(".legend li")].map((each) => `--${each.className}`);
    const line = (_, n) => ({ stroke: () => colour(names[n]), width: 2, points: { show: false } });
    const shown = {
      ...size(),
      padding: [8, 24, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { y: { range: (_, low, high) => [Math.min(0, low), high * 1.05 || 1] } },
      axes: [axis({ grid: { show: false }, values: dates, size: 32, gap: 8 }), axis({ values: (_, all) => all.map(short), ...steps(found.data.slice(1)) })],
      series: [{}, ...found.titles.slice(1).map(line)],
      hooks: { setCursor: [follow(tip, found)] },
    };
    place.replaceChildren();
    const plot = new uPlot(shown, found.data, place);
    place.append(tip);
    new ResizeObserver(() => plot.setSize(size())).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw());
  };

  document.querySelectorAll("[data-chart]").forEach(draw);
})();
