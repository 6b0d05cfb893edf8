# ruff: noqa: E501 (lines of test data)
"""One construct of the template language a line, rendered with VARIABLES."""

VARIABLES = {
    "s": "Hello, World",
    "padded": " \t two  words \n",
    "multi": "one\n\n  two\r\nthree\n",
    "accents": "École ÉTÉ ΟΔΟΣ straße 日本語 \U0001f600",
    "quoted": 'it\'s "q" \\ \n\t\x07 é \u200b',
    "html": '<a href="x">&\'</a>',
    "n": 7,
    "neg": -7,
    "zero": 0,
    "f": 2.5,
    "tiny": 1.5e-07,
    "big": 1e22,
    "whole": 3.0,
    "yes": True,
    "no": False,
    "nil": None,
    "nums": [3, 1, 2, 3, 1],
    "words": ["banana", "Apple", "cherry", "apple"],
    "mixed": [1, "a", None, True, 2.0, [1, [2]], {"k": "v"}],
    "empty": [],
    "d": {"b": 1, "a": 2, "C": 3, "items": "key", "nested": {"x": [10, 20]}},
    "people": [
        {"name": "Ann", "age": 30, "tags": ["x"], "admin": True},
        {"name": "bob", "age": 25, "tags": [], "admin": False},
        {"name": "Cid", "age": 30, "tags": ["y", "z"]},
    ],
}

SNIPPETS = r"""
{{ s }}|{{ n }}|{{ f }}|{{ yes }}|{{ nil }}|{{ missing }}|{{ tiny }}|{{ big }}|{{ whole }}|{{ 1e16 }}|{{ 123456789012345.6 }}|{{ 0.0001 }}|{{ 0.00001 }}
{{ nums }}|{{ mixed }}|{{ d }}|{{ (1,) }}|{{ (1, 2) }}|{{ () }}|{{ [] }}|{{ {} }}|{{ quoted }}|{{ [quoted] }}|{{ [accents, "'", '"'] }}
{{ 1 + 2 * 3 - 4 / 2 }}|{{ 7 // 2 }}|{{ neg // 2 }}|{{ neg % 3 }}|{{ 7 % neg }}|{{ 2 ** 10 }}|{{ 2 ** -1 }}|{{ -n }}|{{ +n }}|{{ 7.5 // 2 }}|{{ -7.5 % 2 }}|{{ 2 ** 3 ** 2 }}|{{ -2 ** 2 }}
{{ 1 / 0 }}
{{ 'a' + 1 }}
{{ 'a' ~ 1 ~ none ~ true ~ [1] ~ missing ~ 2.0 }}
{{ 'ab' * 3 }}|{{ [1, 2] * 2 }}|{{ 3 * 'x' }}|{{ [1] + [2] }}|{{ (1,) + (2,) }}|{{ true + 1 }}|{{ 'a' 'b' "c" }}
{{ 1 < 2 < 3 }}|{{ 1 < 3 < 2 }}|{{ 'a' < 'b' }}|{{ [1, 2] < [1, 3] }}|{{ 1 == 1.0 }}|{{ true == 1 }}|{{ '1' == 1 }}|{{ [1] == (1,) }}|{{ none == false }}|{{ d == d }}|{{ missing == missing2 }}
{{ 1 < 'a' }}
{{ 'ell' in s }}|{{ 1 in nums }}|{{ 9 not in nums }}|{{ 'a' in d }}|{{ 'z' in missing }}|{{ 'name' in people[0] }}|{{ not 1 in nums }}
{{ 1 in s }}
{{ 1 in 5 }}
{{ yes and s }}|{{ no and s }}|{{ no or 'x' }}|{{ nil or missing or 0 }}|{{ not yes }}|{{ not missing }}|{{ yes and not no or no }}
{{ 'a' if yes else 'b' }}|{{ 'a' if no else 'b' }}|{{ 'a' if no }}|{{ 'a' if no else 'b' if no else 'c' }}
{{ s[0] }}|{{ s[-1] }}|{{ s[1:4] }}|{{ s[::-1] }}|{{ s[:-1] }}|{{ s[-3:] }}|{{ s[::2] }}|{{ nums[1:] }}|{{ nums[::-1] }}|{{ nums[5:1:-2] }}|{{ accents[-1] }}|{{ nums[100:] }}|{{ nums[-100:2] }}|{{ (1,2,3)[1:] }}
{{ nums[9] }}|{{ d['nope'] }}|{{ d.nope }}|{{ d['a'] }}|{{ d.a }}|{{ d['items'] }}|{{ d.nested.x[1] }}|{{ d['nested']['x'][-1] }}|{{ nums.0 }}|{{ people.1.name }}
{{ missing.attribute }}
{{ missing['item'] }}
{{ nums[9].x }}
{{ nil.x }}|{{ nil['x'] }}|{{ n.x }}
{{ missing() }}
{{ s() }}
{{ missing + 1 }}
{{ missing|length }}|{{ missing|list }}|{{ missing|join }}|{{ missing|upper }}|{% for x in missing %}x{% else %}none{% endfor %}
{{ missing|int }}
{{ missing < 1 }}
{{ padded|trim }}|{{ padded.strip() }}|{{ padded.lstrip() }}|{{ padded.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xyaxy'|trim('xy') }}|{{ 'abc'.strip('') }}
{{ s|upper }}|{{ s|lower }}|{{ accents|upper }}|{{ accents|lower }}|{{ 'hELLO wORLD foo-bar (baz'|title }}|{{ 'hELLO wORLD foo-bar it\'s'.title() }}|{{ 'hELLO'|capitalize }}|{{ 'éCOLE'.capitalize() }}|{{ ''|capitalize }}
{{ s|length }}|{{ accents|length }}|{{ nums|count }}|{{ d|length }}|{{ ''|length }}
{{ n|length }}
{{ nums|first }}|{{ nums|last }}|{{ empty|first }}|{{ s|first }}|{{ s|last }}|{{ d|first }}|{{ empty|last is defined }}
{{ nums|join(', ') }}|{{ words|join }}|{{ people|join('/', attribute='name') }}|{{ s|join('.') }}|{{ mixed|join(' ') }}
{{ nums|sort }}|{{ nums|sort(reverse=true) }}|{{ words|sort }}|{{ words|sort(case_sensitive=true) }}|{{ people|sort(attribute='age')|map(attribute='name')|join(',') }}|{{ people|sort(attribute='age', reverse=true)|map(attribute='name')|join(',') }}
{{ mixed|sort }}
{{ nums|unique|list }}|{{ words|unique|list }}|{{ words|unique(true)|list }}|{{ people|unique(attribute='age')|map(attribute='name')|list }}
{{ nums|reverse|list }}|{{ s|reverse }}|{{ nums|max }}|{{ nums|min }}|{{ words|max }}|{{ nums|sum }}|{{ people|sum(attribute='age') }}|{{ nums|sum(start=10) }}
{{ d|dictsort }}|{{ d|dictsort(true) }}|{{ {'x': 2, 'y': 1}|dictsort(by='value') }}|{{ {'x': 2, 'y': 1}|dictsort(false, 'value', true) }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}|{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}|{% for k in d %}{{ k }}{% endfor %}|{{ d.keys()|list }}|{{ d.values()|list }}|{{ d.items()|list }}
{{ d.get('a') }}|{{ d.get('z') }}|{{ d.get('z', 5) }}|{{ d.get('z', default) is none }}
{{ people|map(attribute='name')|list }}|{{ people|map(attribute='admin', default='?')|list }}|{{ words|map('upper')|join('-') }}|{{ words|map('replace', 'a', 'A')|list }}|{{ people|map(attribute='tags.0')|list|length }}
{{ people|selectattr('admin')|map(attribute='name')|list }}|{{ people|selectattr('age', 'equalto', 30)|list|length }}|{{ people|rejectattr('age', 'eq', 30)|map(attribute='name')|first }}|{{ people|selectattr('admin', 'defined')|list|length }}|{{ people|rejectattr('admin')|map(attribute='name')|list }}
{{ nums|select('odd')|list }}|{{ nums|reject('odd')|list }}|{{ mixed|select|list }}|{{ mixed|reject|list }}|{{ mixed|select('string')|list }}|{{ nums|select('gt', 1)|list }}|{{ nums|select('in', [1, 2])|list }}|{{ nums|select('divisibleby', 3)|list }}
{% if nums|select('gt', 100) %}generators are true{% endif %}|{% set g = nums|select('odd') %}{{ g|list }}{{ g|list }}
{{ nums|select('odd')|length }}
{{ missing|default('x') }}|{{ nil|default('x') }}|{{ ''|default('x', true) }}|{{ ''|d('x') }}|{{ nil|default('x', boolean=true) }}|{{ missing|default }}|{{ d.zzz|default([]) }}
{{ d|tojson }}|{{ mixed|tojson }}|{{ quoted|tojson }}|{{ accents|tojson }}|{{ accents|tojson(ensure_ascii=true) }}|{{ html|tojson }}|{{ [tiny, big, whole, -0.0, 100000000000000000.0]|tojson }}|{{ nil|tojson }}|{{ yes|tojson }}|{{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }}
{{ d|tojson(indent=2) }}|{{ mixed|tojson(indent=4) }}|{{ [[], {}, [[]]]|tojson(indent=1) }}|{{ d|tojson(indent=0) }}|{{ d|tojson(separators=(',', ':')) }}|{{ d|tojson(sort_keys=true) }}|{{ d|tojson(false, 2) }}|{{ [1]|tojson(indent='--') }}|{{ (1, 2)|tojson }}
{{ missing|tojson }}
{{ '42'|int }}|{{ 'x'|int }}|{{ 'x'|int(5) }}|{{ '3.7'|int }}|{{ 3.99|int }}|{{ '-12 '|int }}|{{ 'ff'|int(base=16) }}|{{ '0x1F'|int(0, 16) }}|{{ true|int }}|{{ nil|int }}|{{ '1e3'|int }}|{{ nums|int }}
{{ '4.5'|float }}|{{ 'x'|float }}|{{ 'x'|float(1.5) }}|{{ 3|float }}|{{ '1e3'|float }}|{{ nil|float }}|{{ ' 2 '|float }}
{{ 2.5|round }}|{{ 3.5|round }}|{{ 2.675|round(2) }}|{{ 2.1|round(0, 'ceil') }}|{{ 2.9|round(method='floor') }}|{{ 1234.5|round(-2) }}|{{ 7|round }}|{{ -2.5|round }}|{{ 2.34567|round(3) }}|{{ (-2.5)|round }}
{{ -3|abs }}|{{ (-3)|abs }}|{{ neg|abs }}|{{ (-1.5)|abs }}
{{ 'abc'|string }}|{{ 5|string + 'x' }}|{{ nums|string }}|{{ d|list }}|{{ 'abc'|list }}|{{ html|escape }}|{{ html|e }}|{{ html|safe }}|{{ none|string }}
{{ multi|indent }}|{{ multi|indent(2, true) }}|{{ multi|indent(2, blank=true) }}|{{ 'a\nb'|indent('> ') }}|{{ 'a\nb'|indent(first=true, width=1) }}|{{ ''|indent }}
{{ s|replace('l', 'L') }}|{{ s|replace('l', 'L', 1) }}|{{ s.replace('l', '') }}|{{ s.replace('l', 'L', 2) }}|{{ 'aaa'.replace('', '-') }}|{{ 'aaa'.replace('', '-', 2) }}|{{ n|replace(7, 8) }}
{{ 'a,b,,c'.split(',') }}|{{ ' a  b '.split() }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a b c d'.split(maxsplit=2) }}|{{ ' a b '.split(' ') }}|{{ 'a,b,c'.rsplit(',', 1) }}|{{ ''.split(',') }}|{{ ''.split() }}|{{ multi.splitlines() }}|{{ 'x'.split('</think>')[-1] }}|{{ ' a b  '.split(none, 1) }}
{{ 'a'.split('') }}
{{ s.startswith('Hell') }}|{{ s.endswith(('x', 'ld')) }}|{{ s.startswith('') }}|{{ s.find('o') }}|{{ s.rfind('o') }}|{{ s.find('zz') }}|{{ accents.find('日') }}|{{ s.count('l') }}|{{ s.count('') }}|{{ s.upper().lower() }}|{{ '-'.join(words) }}|{{ s.removeprefix('Hel') }}|{{ s.removesuffix('rld') }}
{{ '12'.isdigit() }}|{{ '1a'.isdigit() }}|{{ 'ab'.isalpha() }}|{{ 'a1'.isalnum() }}|{{ ' '.isspace() }}|{{ 'AB'.isupper() }}|{{ 'ab'.islower() }}|{{ ''.isdigit() }}|{{ 'A1'.isupper() }}
{{ s.startswith(1) }}
{{ 1 is number }}|{{ 1 is integer }}|{{ 1.0 is float }}|{{ true is number }}|{{ true is integer }}|{{ true is boolean }}|{{ 's' is string }}|{{ d is mapping }}|{{ nums is sequence }}|{{ s is sequence }}|{{ d is sequence }}|{{ nums is iterable }}|{{ s is iterable }}|{{ n is iterable }}|{{ nil is none }}|{{ yes is true }}|{{ 1 is true }}|{{ no is false }}|{{ missing is iterable }}|{{ missing is sequence }}
{{ s is defined }}|{{ missing is defined }}|{{ missing is not defined }}|{{ missing is undefined }}|{{ d.x is defined }}|{{ d.a is defined and d.a == 2 }}|{{ not s is defined }}|{{ n is odd }}|{{ n is even }}|{{ n is divisibleby 7 }}|{{ n is divisibleby(2) }}|{{ n is eq 7 }}|{{ n is equalto 8 }}|{{ n is in nums }}|{{ n is in [7] }}|{{ n is gt 3 }}|{{ n is sameas 7 }}|{{ 'abc' is lower }}|{{ 'ABC' is upper }}|{{ range is callable }}|{{ n is ne 7 }}
{{ 'a' if s is string else 'b' }}|{{ s is string and n is number }}|{{ s is not string or n is not none }}|{{ (s is string) | string }}
{% set x = 1 %}{{ x }}{% set x, y = 2, 3 %}{{ x }}{{ y }}{% set (a, b) = [4, 5] %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}
{% set x %}block {{ n }}{% endset %}[{{ x }}]{% set z | upper | trim %} up {% endset %}[{{ z }}]{% set q %}{% set inner = 1 %}{{ inner }}{% endset %}{{ q }}{{ inner }}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 9 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 5 %}{% endif %}{{ x }}
{% set ns = namespace(a=1, b='x') %}{% for i in nums %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.zz is defined }}{% set ns.zz = [1] %}{{ ns.zz }}{{ ns['a'] }}|{% set m = namespace({'k': 1}, z=2) %}{{ m.k }}{{ m.z }}
{% set d.a = 5 %}
{% for x in nums %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.previtem }}{{ loop.nextitem is defined }};{% endfor %}
{% for a, b in [[1, 2], (3, 4)] %}{{ a }}-{{ b }};{% endfor %}|{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}|{% for c in 'añ😀' %}[{{ c }}]{% endfor %}|{% for i in 1, 2 %}{{ i }}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}
{% for x in nums if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}|{% for x in nums if x > 10 %}{{ x }}{% else %}none {{ n }}{% endfor %}|{% for x in empty %}{% else %}empty{% endfor %}
{% for x in nums %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}|{% for x in nums %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% else %}no{% endfor %}|{% for x in nums %}{% for y in nums %}{% if y == 2 %}{% break %}{% endif %}{{ y }}{% endfor %};{% endfor %}
{% for x in nums %}{% for y in 'ab' %}{{ x }}{{ y }}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% if no %}a{% elif n == 7 %}b{% elif yes %}c{% else %}d{% endif %}|{% if no %}a{% else %}d{% endif %}|{% if empty %}a{% endif %}|{% if d and nums %}x{% endif %}
{% macro m(a, b=2, c=a) %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=5, c=6) }}{{ m() }}{{ m(1, c=9) }}
{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro fact(k) %}{% if k > 1 %}{{ k * fact(k - 1)|int }}{% else %}1{% endif %}{% endmacro %}{{ fact(5) }}
{% set outer = 1 %}{% macro m() %}{{ outer }}{{ n }}{% set local = 2 %}{% endmacro %}{{ m() }}{% set outer = 5 %}{{ m() }}{{ local }}
{% macro wrap(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call wrap('b') %}in {{ n }}{% endcall %}|{% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) each(nums) %}({{ x }}){% endcall %}
{% filter upper %}abc {{ s }}{% endfilter %}|{% filter replace('a', 'b')|trim %} aa {% endfilter %}|{% with a=1, b=n %}{{ a }}{{ b }}{% endwith %}{{ a }}|{% generation %}gen{% set q = 1 %}{% endgeneration %}{{ q }}
{% raw %}{{ raw }} {% if %}{% endraw %}|{# comment {{ x }} #}|a {#- strip -#} b|{%- raw -%}  x  {%- endraw -%}  y
{{ range(3)|list }}|{{ range(1, 7, 2)|list }}|{{ range(3, 0, -1)|list }}|{{ range(0)|list }}|{% for i in range(2) %}{{ i }}{% endfor %}|{{ dict(a=1, b=2) }}|{{ dict({'x': 1}, y=2) }}|{{ dict([(1, 2)]) }}
{{ range(1000000)|length }}
{{ raise_exception('no ' ~ s) }}
{{ raise_exception("Conversation roles must alternate") }}
{{ strftime_now('literal %% text') }}
{{ 'tab\tnew\nline \x41 \u00e9 \\ \' \" \q \101' }}|{{ "it's" }}|{{ 'say "x"' }}
{{ 1_000 }}|{{ 1.5e3 }}|{{ 1e3 }}|{{ 0 }}|{{ 00 }}|{{ 3.0e-2 }}
{{ {'a': {'b': 1}}}}|{{ {'a': 1}['a'] }}|{{ [1, 2,] }}|{{ {'a': 1,} }}|{{ (1 + 2) * 3 }}|{{ ((1)) }}|{{ 1, 2 }}
{{ d.items is callable }}|{{ d.items is defined }}|x
{{ nums.append(1) }}
{{ s.__class__ }}|x
{{ s|upper|lower|title|replace('W', 'w')|length }}|{{ (s ~ '!')|upper }}|{{ s ~ '!'|upper }}|{{ -1|abs }}|{{ 'a' ~ 'b' == 'ab' }}|{{ 1 + 1 ~ 'x' }}
{{ [1, 2, 3][-1] }}|{{ 'abc'[1] }}|{{ {'k': [5, 6]}.k[0] }}|{{ 'a b'.split()[1] }}|{{ s.split(', ')[0].upper()[::-1] }}|{{ people[0].tags[0] }}|{{ (people|first).name }}
{{ none is none }}|{{ None is none }}|{{ True }}|{{ False }}|{{ not None }}
{{ words|map('length')|list }}|{{ words|map('first')|join }}|{{ nums|map('string')|join('+') }}|{{ words|map('int', 3)|list }}
{{ 'x' in ['x', 'y'] and 'z' not in {'z1': 1} }}|{{ 'b' in 'abc' if yes else 'q' }}|{{ (1 if no) is defined }}
{{ '%s' }}|{{ '{' }}|{{ '}' }}|{{ '}}' }}|{{ '%}' }}|{{ "{{" }}
{{ 9223372036854775807 }}|{{ 1.0 == 1 }}|{{ 1 == true }}|{{ 0.1 + 0.2 }}|{{ 1e300 * 1e10 }}|{{ 10 // 3.0 }}|{{ 5 % 3.5 }}|{{ 2 ** 0.5 }}|{{ 1 / 3 }}
{{ loop }}|{{ caller }}
{% if s is defined and s %}ok{% endif %}{{ 'a' if missing is defined and missing else 'b' }}
{{ multi.split('\n')[0] }}|{{ multi|trim|replace('\r\n', '|') }}
{{ unknown_function(1) }}
{% unknown %}
{{ s|unknown_filter }}
{{ s is unknown_test }}
{% if yes %}
{% for x in y %}
{{ 'unclosed }}
{{ 1 + }}
{{ (1 }}
{% endif %}
{% break %}
{{ s[ }}
""".strip("\n").split("\n")

# White space control needs lines of its own.
SNIPPETS += [
    "  {% if yes %}  \n  a\n  {% endif %}\n  b\n",
    "  {%- if yes -%}  \n  a\n  {%- endif -%}\n  b\n",
    "a\n\n  {{ n }}  \n\n{{- n -}}\n\n b {{ n }}\n\n",
    "x {% if yes %} y {% endif %} z\n{% if yes %}\n\n{% endif %}\nend\n\n",
    "  {%+ if yes %}a{%+ endif +%}\n b {% if yes +%}\n c{% endif %}",
    "a\n  {# comment #}\nb\n  {#- c -#}\n  d {# e #} f\n\t{# tab #}\ng",
    "{% for x in [1, 2] %}\n  {{ x }}\n{% endfor %}\n",
    "\r\n{% if yes %}\r\na\r{% endif %}\rb\r\n",
    "{{ 'a\nb' }}\n{{\n  n\n}}\n{%\n  if yes\n%}\nc{% endif %}",
    "no newline at the end",
    "one at the end\n",
    "two at the end\n\n",
    "",
    "\n",
    "  {% raw %}  {{ x }}\n  {% endraw %}\n  after",
    "\u00a0{% if yes %}nbsp{% endif %}\u2003\n\u2003{%- if yes %}em{% endif %}",
    "{% set x = 1 %}\n{% set y = 2 -%}\n\n  {{ x }}{{ y }}",
    "{{- 'start' }}\n  {%- set z = 3 %}\n\n{{- z }}",
    "{%if yes%}tight{%endif%}{{n}}{%-if yes-%} t {%-endif-%}",
    "{% if yes %}{{ 'x' }}\n{% endif %}\ny",
]
