// What a hostile card has changed about the page at hand, as a list of words.
() => {
  const harm = [], page = document.querySelectorAll('body > header, body > main, body > footer, body > .head');
  if (window.__pwned) harm.push('a script ran');
  for (const [name, kind] of [['body', HTMLBodyElement], ['location', Location], ['forms', HTMLCollection]])
    if (!(document[name] instanceof kind)) harm.push(`document.${name} was replaced`);
  if (typeof document.cookie !== 'string' || document.documentElement.tagName !== 'HTML') harm.push('clobbered');
  if (!document.querySelector('body > footer > .in') || page.length < 3) harm.push('the page came apart');
  for (const text of document.querySelectorAll('.md')) {
    if (!text.closest('main')) harm.push('a card outside of main');
    const box = text.getBoundingClientRect();
    for (const node of text.querySelectorAll('*')) {
      if (['fixed', 'absolute', 'sticky'].includes(getComputedStyle(node).position)) harm.push('out of its place');
      if (box.width && node.getBoundingClientRect().top < box.top - 40) harm.push('above its place');
    }
  }
  if (document.querySelector('footer').closest('a, b, i, h1, section, article, table, details')) harm.push('never closed');
  for (const node of document.querySelectorAll('*')) {
    for (const {name, value} of node.attributes) {
      if (/^on|^style$|^srcdoc$|^formaction$|^xlink/.test(name)) harm.push(`${node.tagName} ${name}`);
      if (['href', 'src', 'action', 'srcset', 'poster', 'data'].includes(name)) {
        const to = new URL(value, document.baseURI);
        if (!['http:', 'https:', 'mailto:'].includes(to.protocol)) harm.push(`${name} ${value}`);
        if (node.tagName !== 'A' && to.origin !== location.origin) harm.push(`loads ${value}`);
      }
    }
    if (/^(script|style|iframe|object|embed|base|template|slot|math|textarea|title)$/i.test(node.localName)
      && node !== document.querySelector('head > title')) harm.push(node.localName);
  }
  for (const form of document.forms) if (new URL(form.action).origin !== location.origin) harm.push('a form');
  return harm;
}
