// What is wrong with the page at hand, as a list of words. A card's own headings are its author's.
() => {
  const faults = [], own = node => !node.closest('.md');
  const name = node => `${node.tagName} ${node.className || ''} ${(node.textContent || '').trim().slice(0, 40)}`;
  const root = document.documentElement;
  if (root.lang !== 'en' || !document.title.trim()) faults.push('no language or title');
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll('body *')].find(e => e.getBoundingClientRect().right > root.clientWidth + 1
      && !e.closest('pre, .wide, .tabs'));
    faults.push(`wider than the window: ${root.scrollWidth} > ${root.clientWidth}, ${wide && name(wide)}`);
  }
  for (const node of document.querySelectorAll('body *')) {
    const style = getComputedStyle(node);
    if (style.overflowX === 'hidden' && style.textOverflow !== 'ellipsis' && node.scrollWidth > node.clientWidth + 1
      && !node.matches('.unseen')) faults.push(`cut off: ${name(node)}`);
  }
  let level = 0;
  for (const head of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) if (own(head)) {
    const now = Number(head.tagName[1]);
    if (now > level + 1 || (now === 1 && level)) faults.push(`heading out of order: ${name(head)}`);
    level = now;
  }
  if (!level) faults.push('no heading');
  const ids = new Set();
  for (const node of document.querySelectorAll('[id]')) {
    if (ids.has(node.id)) faults.push(`id twice: ${node.id}`);
    ids.add(node.id);
  }
  for (const node of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
    if (!node.labels.length && !node.getAttribute('aria-label')) faults.push(`no label: ${name(node)}`);
  for (const node of document.querySelectorAll('img')) {
    if (!node.hasAttribute('alt')) faults.push(`no alternative text: ${node.src}`);
    if (node.complete && !node.naturalWidth && own(node)) faults.push(`not shown: ${node.src}`);
  }
  for (const node of document.querySelectorAll('.tabs a'))
    if (node.getBoundingClientRect().right > innerWidth) faults.push(`cut off: ${name(node)}`);
  for (const node of document.querySelectorAll('a, button, summary, label'))
    if (own(node) && !node.textContent.trim() && !node.querySelector('img, svg, input')) faults.push(`no text: ${name(node)}`);
  if (document.querySelectorAll('main').length !== 1) faults.push('not one main');
  if (document.querySelector('script, style, [style], iframe, object, embed')) faults.push('script or style in the page');
  const parse = text => { const n = text.match(/[\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] === undefined ? 1 : n[3]]; };
  const light = c => [0, 1, 2].map(i => c[i] / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const seen = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || seen.has(node) || node.closest('[aria-hidden=true], .unseen, .skip')) continue;
    seen.add(node);
    if (!node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    let back = null;
    for (let up = node; up && !back; up = up.parentElement) {
      const colour = parse(getComputedStyle(up).backgroundColor);
      if (colour[3] === 1) back = colour;
    }
    const [a, b] = [light(parse(style.color)), light(back || [255, 255, 255])].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + .05) / (b + .05);
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${name(node)}`);
  }
  return faults;
}
