//! How the page looks: on a screen, light and dark, on a phone, and on paper.

pub const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#16202b;--paper:#fff;--card:#f5f7f9;--soft:#55606d;--line:#d3d9e0;--bar:#3a6ea5;\
--good:#0a6b45;--good-bg:#e3f3eb;--bad:#a1160f;--bad-bg:#fbe6e4;--warn:#7a4b00;--warn-bg:#fdf0d8;--unknown:#4c4f73;--unknown-bg:#ebebf5}\
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf0;--paper:#12161b;--card:#1b2128;--soft:#a3adb9;--line:#3a434e;--bar:#7fb0e3;\
--good:#6fd3a4;--good-bg:#123527;--bad:#ff9d94;--bad-bg:#451a17;--warn:#f2c36b;--warn-bg:#3b2b0c;--unknown:#b9bcf0;--unknown-bg:#26284a}}\
*{box-sizing:border-box}\
body{font:16px/1.5 system-ui,-apple-system,'Segoe UI','Liberation Sans',Arial,sans-serif;color:var(--ink);background:var(--paper);\
margin:0 auto;padding:1.5rem;max-width:62rem;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\
h1{font-size:1.35rem;line-height:1.35;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .5rem;padding-top:.5rem;border-top:2px solid var(--line)}\
h3{font-size:.95rem;margin:0 0 .3rem}p{margin:.35rem 0}ul{margin:.4rem 0;padding-left:1.2rem}\
.soft{color:var(--soft)}.small{font-size:.875rem}.eyebrow{font-size:.85rem;color:var(--soft);margin:0 0 .6rem}\
.verdict{display:flex;gap:1rem;align-items:flex-start;padding:1.1rem;border-radius:.5rem;border:2px solid var(--tone);background:var(--tone-bg)}\
.verdict svg{flex:none;width:3rem;height:3rem;color:var(--tone)}.verdict .word{font-size:1.5rem;font-weight:700;line-height:1.1;color:var(--tone);letter-spacing:.02em;margin:0 0 .3rem}\
.failed{--tone:var(--bad);--tone-bg:var(--bad-bg)}.passed{--tone:var(--good);--tone-bg:var(--good-bg)}\
.missed{--tone:var(--warn);--tone-bg:var(--warn-bg)}.unknown{--tone:var(--unknown);--tone-bg:var(--unknown-bg)}\
.verdict.failed{border-width:5px}.verdict.unknown{border-style:dashed;border-width:3px}\
.cards{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1rem;margin:1rem 0}\
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem}.wide{grid-column:1/-1}\
.big{font-size:1.6rem;font-weight:650;line-height:1.2}.state{font-weight:650;color:var(--tone)}.state svg{width:1em;height:1em;vertical-align:-.12em;margin-right:.3em}\
.gauge{display:block;width:100%;height:22px;margin:.5rem 0 .2rem}.trend{display:block;width:100%;height:auto;max-width:34rem}\
.trend text{fill:var(--soft);font-size:11px}.track{fill:var(--line)}.fill{fill:var(--bar)}.over{fill:var(--bad)}.mark{stroke:var(--ink);stroke-width:2}\
.hollow{fill:none;stroke:var(--unknown);stroke-dasharray:3 2}.tone{color:var(--tone)}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line)}\
th{font-size:.85rem;color:var(--soft);font-weight:600}td.n,th.n{text-align:right}td.w{white-space:nowrap}td.bar{width:34%}td[data-l=owner]{min-width:12rem}\
td.bar svg{display:block;width:100%;height:14px;margin-top:.3rem}\
dl{display:grid;grid-template-columns:minmax(8rem,14rem) minmax(0,1fr);gap:.3rem 1rem;margin:.5rem 0}dt{color:var(--soft)}dd{margin:0}\
details{border-bottom:1px solid var(--line);padding:.35rem 0}summary{cursor:pointer}summary .state{float:right;margin-left:1rem}\
details>div{padding:.4rem 0 .6rem 1rem}pre{background:var(--card);border:1px solid var(--line);border-radius:.3rem;padding:.6rem;margin:.4rem 0;\
white-space:pre-wrap;font:.8rem/1.45 ui-monospace,'Liberation Mono',monospace}code{font:.875em ui-monospace,'Liberation Mono',monospace}\
@media(max-width:40rem){body{padding:.9rem}.cards{grid-template-columns:minmax(0,1fr)}.verdict{gap:.7rem;padding:.9rem}.verdict svg{width:2.2rem;height:2.2rem}\
h1{font-size:1.12rem}thead{display:none}tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}\
td,td.n,td.bar{display:block;border:0;padding:.05rem 0;text-align:left;width:auto}td[data-l]::before{content:attr(data-l)\": \";color:var(--soft)}\
dl{grid-template-columns:minmax(0,1fr);gap:0}dd{margin-bottom:.5rem}}\
@page{size:A4;margin:14mm}\
@media print{:root{font-size:9.5pt;color-scheme:light;--ink:#000;--paper:#fff;--card:#fff;--soft:#444;--line:#bbb;--bar:#2c5a8c;--good:#0a5a3a;--good-bg:#fff;\
--bad:#900;--bad-bg:#fff;--warn:#6b4200;--warn-bg:#fff;--unknown:#33365c;--unknown-bg:#fff}\
body{max-width:none;padding:0;font-size:1rem;print-color-adjust:exact;-webkit-print-color-adjust:exact}h2,h2+p{break-after:avoid}\
.details{break-before:page}.details h2:first-child{margin-top:0;border:0}tr,.card,.verdict,summary,dt,dd{break-inside:avoid}}";
