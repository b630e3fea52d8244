"""How a passport looks: light and dark as the reader prefers, black on white on paper."""

STYLE = """
:root { color-scheme: light dark; --ink:#1b1f24; --soft:#667080; --paper:#fff; --card:#f6f7f9;
  --line:#dfe3e8; --up:#c2410c; --down:#1d63b8; --mark:#0f766e; --warn:#fff4e5; --warnink:#8a4b08; }
@media (prefers-color-scheme: dark) { :root { --ink:#e7eaee; --soft:#98a2b0; --paper:#14171b;
  --card:#1d2127; --line:#313740; --up:#fb923c; --down:#6cb0f5; --mark:#2dd4bf; --warn:#3a2a12;
  --warnink:#fcd9a4; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
code { font: .92em/1.4 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.kicker { margin:0; color:var(--soft); font-size:.8rem; letter-spacing:.06em;
  text-transform:uppercase; }
h1 { margin:.2rem 0 .1rem; font-size:2.1rem; line-height:1.2; font-weight:650; }
.score { margin-left:.6rem; font-weight:400; color:var(--soft); font-variant-numeric:tabular-nums; }
.lead { margin:.2rem 0; } .id { margin:.1rem 0 .8rem; color:var(--soft); }
.degraded { background:var(--warn); color:var(--warnink); border-left:4px solid currentColor;
  padding:.6rem .8rem; border-radius:4px; }
h2 { font-size:1.05rem; margin:2rem 0 .5rem; padding-top:.9rem; border-top:1px solid var(--line); }
h3 { font-size:.95rem; font-weight:600; margin:0 0 .5rem; }
.muted, .small { color:var(--soft); } h3 .muted { font-weight:400; font-size:.85rem; }
svg { width:100%; height:auto; display:block; } svg text { fill:var(--ink); font-size:13px; }
.drawing { overflow-x:auto; } .drawing svg { min-width:36rem; }
svg .small { fill:var(--soft); font-size:11px; } svg .name { font-weight:550; }
svg .sum { font-variant-numeric:tabular-nums; }
svg .track { fill:var(--line); } svg .done { fill:var(--soft); } svg .now { fill:var(--ink);
  stroke:var(--paper); stroke-width:2; }
svg .limit { stroke:var(--soft); stroke-dasharray:3 3; } svg .tie { stroke:var(--line); }
svg rect.up { fill:var(--up); } svg rect.down { fill:var(--down); } svg .end { fill:var(--ink); }
svg text.up { fill:var(--up); } svg text.down { fill:var(--down); }
.key { margin:.2rem 0 .6rem; color:var(--soft); font-size:.88rem; }
.dot { display:inline-block; width:.75em; height:.75em; border-radius:2px; margin:0 .25em 0 .6em; }
.dot:first-child { margin-left:0; }
.dot.up { background:var(--up); } .dot.down { background:var(--down); }
.rules { padding:0; margin:0; list-style:none; counter-reset:rule; }
.rules li { display:grid; grid-template-columns:7rem 1fr auto; gap:0 .8rem; align-items:baseline;
  padding:.35rem .7rem; border-left:3px solid var(--line); margin:.25rem 0; }
.rules li .muted { display:block; font-size:.88rem; }
.rules li.fired { border-left-color:var(--mark); background:var(--card); }
.note { color:var(--mark); font-weight:600; }
.pairs { border-collapse:collapse; width:100%; } .pairs th { text-align:left; font-weight:500;
  color:var(--soft); width:11rem; vertical-align:top; padding:.18rem .8rem .18rem 0; }
.pairs td { padding:.18rem 0; }
article { background:var(--card); border-radius:6px; padding:.8rem .9rem; margin:.6rem 0;
  break-inside:avoid; }
.pill { border:1px solid currentColor; border-radius:99px; padding:0 .55rem; font-size:.78rem;
  font-weight:600; color:var(--mark); }
.s-not_found, .s-missing { color:var(--soft); } .s-stale, .s-unavailable { color:var(--up); }
.grid { display:grid; grid-template-columns:repeat(auto-fill,minmax(20rem,1fr)); gap:.1rem 2rem;
  margin:0; } .grid div { display:flex; justify-content:space-between; gap:.8rem;
  border-bottom:1px solid var(--line); } .grid dt { color:var(--soft); font-size:.85rem;
  overflow-wrap:anywhere; } .grid dd { margin:0; font-variant-numeric:tabular-nums;
  white-space:nowrap; } .grid .null dd { color:var(--soft); font-style:italic; }
footer { margin-top:2rem; padding-top:.8rem; border-top:1px solid var(--line); color:var(--soft);
  font-size:.9rem; } footer a { color:inherit; }
@media print { :root { color-scheme:light; --ink:#000; --soft:#444; --paper:#fff; --card:#fff;
  --line:#bbb; --up:#c2410c; --down:#1d63b8; --mark:#0f766e; } main { max-width:none; padding:0; }
  body { font-size:11pt; } section { break-inside:auto; } svg { break-inside:avoid; }
  article { border:1px solid var(--line); } h2 { break-after:avoid; }
  * { print-color-adjust:exact; } }
"""
