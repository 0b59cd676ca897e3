/**
 * @file The report's style sheet, inline so that the report is one file. Series colours are those of Okabe and Ito
 * ("Color universal design", 2008), darkened on white and lightened on black until a line has a contrast of 3:1 and text
 * one of 4.5:1 (WCAG 2.2, 1.4.3 and 1.4.11; `style.test.ts`); each series also has its own dash.
 */

const LIGHT = `--ink:#1c2530;--soft:#5a6675;--rule:#dde2e8;--faint:#f5f7f9;--page:#ffffff;--grid:#e8ecf0;
--federated:#0067a8;--pooled:#4b5563;--s1:#c75000;--s2:#00815f;--s3:#a8528a;--s4:#996c00;--s5:#2f86b8;
--warn:#8a4b00;--warn-page:#fff6e5;--warn-rule:#f0c674;--cell:0,103,168`;

const DARK = `--ink:#e6eaef;--soft:#9aa7b5;--rule:#303a46;--faint:#1b222a;--page:#12171d;--grid:#27303a;
--federated:#5fb7f2;--pooled:#c3cad3;--s1:#ff955c;--s2:#3fcea4;--s3:#e39fca;--s4:#e3b94f;--s5:#8fd0f5;
--warn:#ffd591;--warn-page:#33260f;--warn-rule:#7a5a1e;--cell:95,183,242`;

const series = ['federated', 'pooled', 's1', 's2', 's3', 's4', 's5'];
const dashes: Readonly<Record<string, string>> = {
  pooled: '7 4',
  s1: '2 3',
  s2: '9 3 2 3',
  s3: '5 3',
  s4: '1 4',
  s5: '12 4',
};

export const STYLE_SHEET = `
:root{color-scheme:light dark;${LIGHT}}
@media screen and (prefers-color-scheme:dark){:root{${DARK}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums lining-nums;-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:56px 40px 80px}
h1{font-size:32px;line-height:1.2;font-weight:650;letter-spacing:-.015em;margin:6px 0 20px;text-wrap:balance}
h2{font-size:20px;line-height:1.3;font-weight:650;letter-spacing:-.005em;margin:64px 0 6px}
h3{font-size:15px;font-weight:650;margin:32px 0 4px}
p{margin:0 0 16px;max-width:72ch}
.lead{color:var(--soft)}
.kicker{font-size:12px;font-weight:600;letter-spacing:.09em;text-transform:uppercase;color:var(--federated);margin:0}
.banner{border:1px solid var(--warn-rule);border-left-width:5px;background:var(--warn-page);color:var(--warn);border-radius:4px;padding:14px 18px;margin:0 0 28px;max-width:none}
.banner strong{display:block;font-size:17px}
dl.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 28px;margin:12px 0 0}
dl.facts.aside{margin-top:28px}
dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;overflow-wrap:anywhere}
header dl.facts{border-top:1px solid var(--rule);border-bottom:1px solid var(--rule);padding:14px 0;grid-template-columns:max-content minmax(0,1fr) max-content minmax(0,1fr)}
.headline{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:24px;margin:20px 0 20px;padding:0;list-style:none}
.headline li{border-top:3px solid var(--federated);padding-top:12px}
.headline .name{color:var(--soft);font-size:13px;display:block}
.headline .value{font-size:34px;line-height:1.2;font-weight:600;letter-spacing:-.02em;display:block}
.headline .ci{color:var(--soft);font-size:13px}
.scroll{overflow-x:auto;margin:16px 0 8px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
caption{text-align:left;color:var(--soft);padding:0 0 8px}
th,td{padding:9px 8px;text-align:right;vertical-align:baseline;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
thead th{font-weight:600;font-size:13px;color:var(--soft);vertical-align:bottom}
thead th[colspan]{text-align:center;border-bottom:0;padding-bottom:0}
th.group::first-letter{text-transform:uppercase}
.group{border-left:1px solid var(--rule)}
tbody th{font-weight:500}
.text,tbody th{text-align:left}
.wrap{white-space:normal;min-width:15em}
tr.subject th,tr.subject td{background:var(--faint)}tr.subject th{font-weight:650}
.ci,.unit{color:var(--soft)}
.missing{color:var(--soft);font-style:italic;white-space:normal}
td .missing{display:inline-block;max-width:24em}
td.mark-cell{vertical-align:middle}
figure{margin:24px 0 0;break-inside:avoid}
figcaption{font-weight:600;font-size:14px;margin-bottom:8px}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:40px}
svg{display:block}
svg.plot{width:100%;height:auto;overflow:visible}
svg text{fill:var(--soft);font-size:12px;font-family:inherit}
svg text.label{fill:var(--ink);font-size:12.5px}
.grid path{stroke:var(--grid);stroke-width:1}
.diagonal{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 4;opacity:.7}
.line{fill:none;stroke:currentColor;stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
.series-federated .line{stroke-width:2.8}
.bar{stroke:currentColor;stroke-width:1.3;opacity:.55}
.series-last{color:var(--federated)}.series-last .line{stroke-width:1.4;opacity:.75}
svg circle{fill:currentColor;stroke:var(--page);stroke-width:1.2}
.swatch{display:inline-block;width:24px;height:10px;margin-right:9px;flex:none}
.mark{width:130px;height:13px;display:inline-block;vertical-align:middle}
.mark .scale{stroke:var(--rule);stroke-width:1}.mark .whisker{stroke:currentColor;stroke-width:2.4}
${series.map((name) => `.series-${name}{color:var(--${name})}${dashes[name] ? `.series-${name} .line{stroke-dasharray:${dashes[name]}}` : ''}`).join('\n')}
.legend{list-style:none;margin:10px 0 0;padding:0 0 0 52px;font-size:13px;display:grid;gap:3px}
.legend li{display:flex;align-items:center}.legend .figure{margin-left:auto;white-space:nowrap;padding-left:12px;color:var(--soft)}
.matrices{display:grid;grid-template-columns:repeat(auto-fill,minmax(225px,1fr));gap:28px 40px;margin-top:20px}
.matrix{font-size:13px;table-layout:fixed}.matrix caption{font-weight:600;color:var(--ink);font-size:14px}
.matrix th,.matrix td{padding:7px 8px;text-align:center;border:0}
.matrix td{border:2px solid var(--page);border-radius:4px;line-height:1.35}
.matrix td b{display:block;font-size:18px;font-weight:600}
.matrix thead th{white-space:normal;line-height:1.3;font-size:12px;font-weight:500;border:0;padding-bottom:4px}.matrix th.text{text-align:left;padding-left:0}.matrix tbody th{font-size:12px;color:var(--soft);text-align:left;padding-left:0}
code,pre,.hash{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px}
pre{background:var(--faint);border:1px solid var(--rule);border-radius:4px;padding:14px 16px;white-space:pre-wrap;overflow-wrap:anywhere;margin:12px 0}
ul.plain{padding-left:20px;margin:10px 0;max-width:76ch}ul.plain li{margin:0 0 8px}
footer{margin-top:64px;border-top:1px solid var(--rule);padding-top:14px;color:var(--soft);font-size:13px}
@media screen and (max-width:720px){td .ci{display:block}main{padding:32px 20px}.pair{grid-template-columns:minmax(0,1fr)}.headline{grid-template-columns:repeat(2,minmax(0,1fr))}
header dl.facts{grid-template-columns:max-content minmax(0,1fr)}}
@page{margin:16mm 14mm}
@media print{body{font-size:9.5pt}td .ci{display:block}.mark{width:100px;height:10px}.headline{gap:16px}.headline .value{font-size:26px}.legend{padding-left:36px;font-size:8.5pt}.pair{gap:28px}h1{font-size:22pt}main{padding:0;max-width:none}h2{margin-top:30px;break-after:avoid}h3{break-after:avoid}
tr,li,.matrix,pre,.banner,.headline{break-inside:avoid}.scroll{overflow:visible}table{font-size:8.5pt}thead th{font-size:8pt;white-space:normal}.swatch{width:18px;margin-right:6px}tbody th{white-space:normal}.headline .ci{font-size:8.5pt}th,td{padding:4px 6px}
.banner,tr.subject th,tr.subject td,.matrix td,pre{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
`.trim();
