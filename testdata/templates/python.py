"""Writes python.json: small templates with what Python's Jinja2 renders of them, set up as transformers does.

Run with jinja2 3.1.6: python3 python.py > python.json
Where Python refuses, the expectation is null: any error of ours will do.
"""

import json
from datetime import datetime

from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2 import nodes


class Generation(Extension):
    """The tag of transformers: its body, unchanged."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise ValueError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime(2026, 1, 15, 12, 0, 0).strftime(f)
    return env


VARIABLES = {
    "s": "Hello, World", "e": "", "n": None, "t": True, "f": False, "i": 7, "neg": -3, "x": 2.5, "big": 1e20,
    "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "d": {"b": 1, "a": [1, "two", None], "items": "mine"}, "empty": [],
    "ed": {}, "html": "<a & 'b'>", "u": "naïve café 日本 😀", "text": "  one  two three \n four\t",
    "people": [{"name": "Bo", "age": 30, "tags": ["x"]}, {"name": "al", "age": 25}, {"name": "Cy", "age": 30, "admin": True}],
    "nested": {"a": {"b": {"c": [10, 20]}}}, "q": "it's \"quoted\"", "lines": "a\nb\r\nc\n\nd", "floats": [1.0, 2.5, 1e-7, 123456789.0],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"p": {"type": "string"}}}}}],
    "ctrl": "\x00\x1f\x7f\u200b\xa0\ufeff\u2028", "intstr": " 42 ", "floatstr": "4.7",
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7.5 // 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 0.5
7 / 2
6 / 2
1 / 0
1 // 0
1 % 0
-i
- x
1e3
1.5e-3
1_000
0x1f
1e16
1e15
123456789012345678
big
0.1 + 0.2
1.0
-0.0
100 * 1.1
floats
t + 1
t
f
n
[t, f, n, 1, 1.5, 'a', "b'c", "d\"e", 'f"\'g']
{'a': 1, 'b': [1, 2], 3: none, true: false}
(1, 2)
(1,)
()
[]
{}
[[], {}, ()]
s + e
s + 1
1 + s
s + n
s + undefinedvar
undefinedvar + s
undefinedvar
[undefinedvar]
s ~ 1 ~ n ~ t ~ x
s ~ undefinedvar
l + [4]
l + (4,)
(1,) + (2,)
l + none
l * 2
2 * l
'ab' * 3
3 * 'ab'
'ab' * -1
'ab' * 'c'
s - 1
'%s is %d and %.2f' % ('a', 3, 1.5)
'%s' % 'one'
'%s' % n
'%s' % [1, 'a']
'%5d|%-5d|%05d' % (1, 2, 3)
'%x %o %e' % (255, 8, 1234.5)
'%%'  % ()
'%(a)s' % {'a': 1}
'{} and {}'.format(1, 'b')
'{0} {1} {0}'.format('a', 'b')
'{name}!'.format(name='Bo')
'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')
'{:.2f} {:05d}'.format(1.234, 42)
'{}'.format(none)
'{}'.format([1, 'a'])
'{a[b]}'.format(a={'b': 1})
1 < 2
1 < 2 < 3
1 < 3 < 2
1 == 1.0
1 == true
'a' == 'a'
'a' < 'b'
'B' < 'a'
[1, 2] < [1, 3]
[1, 2] == [1, 2]
[1, 2] == (1, 2)
{'a': 1} == {'a': 1.0}
n == none
n == undefinedvar
undefinedvar == undefinedother
n < 1
1 != 2
not t
not e
not undefinedvar
t and e
t and 's'
e or 'other'
n or 0
undefinedvar or 'x'
1 if t else 2
1 if f
1 if f else 2
(1 if f) is defined
'a' in s
'World' in s
'x' in s
1 in l
'1' in l
'b' in d
'z' not in d
1 in s
n in s
n in l
'a' in n
'a' in undefinedvar
'a' in 5
2 in (1, 2)
true in [1]
s[0]
s[-1]
s[100]
s[0:5]
s[::-1]
s[-5:]
s[:-3]
s[2:8:2]
s[8:2:-2]
s[10:2]
l[0]
l[-1]
l[5]
l[5] is defined
l[::-1]
l[1:]
l[:-1]
l[-2:]
l[::2]
l[::-2]
l[100:]
l[:100]
l[-100:2]
l[5:0:-1]
l[0:2][1]
(1, 2, 3)[1:]
(1, 2, 3)[::-1]
n[0]
n[1:]
5[0]
undefinedvar[0]
undefinedvar[1:]
d[1:]
d['b']
d.b
d['a'][1]
d.a.1
d.a[-1]
d.zzz
d.zzz is defined
d.zzz.y
d['zzz']['y']
d.items
d['items']
d.items is string
d['items'] is string
d.get('b')
d.get('q')
d.get('q', 5)
d.get('q', default=5)
d.items() | list
d.keys() | list
d.values() | list
d.items()
d.keys()
d.keys() | length
d.items() | length
d.items()[0]
d.keys() | tojson
d.items() | tojson
d.keys() is sequence
d.keys() is iterable
ed.items() | list
s.items()
l.items()
n.foo
n.foo is defined
n.foo.bar
s.foo
5.foo
s.upper is defined
s.foo is defined
l.append is defined
d.update is defined
l.append(4)
d.update({'a': 1})
d.pop('a')
s.nothing()
undefinedvar.foo
undefinedvar.foo()
undefinedvar()
s()
nested.a.b.c[1]
nested['a'].b['c'][0]
s.upper()
s.lower()
'hello world'.title()
"they're here".title()
'hELLO'.capitalize()
'Hello'.swapcase()
text.strip()
text.lstrip()
text.rstrip()
'xxaxx'.strip('x')
'abcba'.strip('ab')
'abcba'.lstrip('ab')
'\x1ca\x1f'.strip() | length
text.split()
text.split(none, 1)
text.split(maxsplit=1)
text.rsplit(maxsplit=1)
text.rsplit(none, 2)
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a,b,,c'.rsplit(',', 1)
'a,b'.split('')
''.split()
''.split(',')
lines.splitlines()
lines.splitlines(true)
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('x')
', '.join(['a', 'b'])
', '.join([1, 2])
', '.join(words)
'-'.join('abc')
'-'.join(d)
s.replace('l', 'L')
s.replace('l', 'L', 1)
s.replace('', '-')
s.startswith('Hello')
s.startswith(('x', 'H'))
s.startswith('World', 7)
s.endswith('World')
s.endswith(('x', 'ld'))
s.startswith(n)
s.find('o')
s.find('o', 5)
s.rfind('o')
s.find('zz')
s.index('W')
s.index('zz')
u.find('日')
s.count('l')
s.count('')
'7'.zfill(3)
'-7'.zfill(4)
'a'.center(5) ~ '|'
'ab'.center(5) ~ '|'
'a'.ljust(3, '.') ~ 'a'.rjust(3, '.')
'prefix-a'.removeprefix('prefix-')
'a.py'.removesuffix('.py')
'abc'.isalpha() and '123'.isdigit() and 'a1'.isalnum() and ' '.isspace()
'ABC'.isupper() and 'abc'.islower()
''.isalpha()
'a'.isidentifier()
l.index(2)
l.index(9)
l.count(1)
(1, 1).count(1)
s | length
l | length
d | length
u | length
n | length
5 | length
undefinedvar | length
undefinedvar | list
n | list
s | list
d | list
s | upper
n | upper
undefinedvar | upper
5 | upper
s | lower
'foo bar-baz (qux) [x] {y} <z>' | title
"it's o'clock" | title
'hELLO wORLD' | capitalize
text | trim
'xxaxx' | trim('x')
n | trim
5 | trim
undefinedvar | trim
undefinedvar | default('x')
undefinedvar | d('x')
n | default('x')
n | default('x', true)
e | default('x', boolean=true)
undefinedvar | default
undefinedvar.a | default('x')
d.zzz | default('x')
words | join
words | join(', ')
l | join('-')
[1, none, true] | join(',')
people | join(', ', attribute='name')
d | join(',')
n | join(',')
undefinedvar | join(',')
s | join('.')
s | replace('l', 'L')
s | replace('l', 'L', 1)
5 | replace('5', 'x')
s | first
l | first
empty | first
d | first
empty | first is defined
l | last
s | last
d | last
empty | last
undefinedvar | first
n | first
l | sort
l | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
people | sort(attribute='age') | map(attribute='name') | list
people | sort(attribute='age,name') | map(attribute='name') | list
people | sort(attribute='name', reverse=true) | map(attribute='name') | list
[1, 'a'] | sort
l | min
l | max
words | max
people | max(attribute='age')
empty | min
l | sum
people | sum(attribute='age')
l | sum(start=10)
words | sum
words | unique | list
words | unique(case_sensitive=true) | list
people | unique(attribute='age') | map(attribute='name') | list
l | reverse | list
s | reverse
d | reverse | list
n | reverse
l | reverse | first
l | reverse is iterable
l | reverse is sequence
l | batch(2) | list
l | batch(2, 'x') | list
l | slice(2) | list
l | slice(2, 'x') | list
people | map(attribute='name') | list
people | map(attribute='tags') | list
people | map(attribute='tags', default=[]) | list
people | map(attribute='tags.0') | list
words | map('upper') | list
words | map('replace', 'a', 'z') | list
people | map('length') | list
n | map('upper') | list
people | selectattr('admin') | list | length
people | selectattr('admin', 'defined') | map(attribute='name') | list
people | selectattr('age', 'equalto', 30) | map(attribute='name') | join(',')
people | selectattr('age', '==', 30) | list | length
people | selectattr('age', 'gt', 26) | list | length
people | selectattr('age', 'in', [25]) | list | length
people | rejectattr('admin', 'defined') | map(attribute='name') | list
[1, 2, 3, 4] | select('odd') | list
[1, 2, 3, 4] | reject('even') | list
[0, 1, '', 'a'] | select | list
[1, 2, 3] | select('gt', 1) | first
n | selectattr('a') | list
undefinedvar | selectattr('a') | list
5 | select('odd') | list
people | selectattr('admin') | length
people | selectattr('admin') | tojson
(empty | selectattr('a')) and 'true'
people | groupby('age') | map('first') | list
d | dictsort
d | dictsort(reverse=true)
{'B': 2, 'a': 3, 'C': 1} | dictsort
{'B': 2, 'a': 3, 'C': 1} | dictsort(case_sensitive=true)
{'B': 2, 'a': 3, 'C': 1} | dictsort(by='value')
{'B': 2, 'a': 3, 'C': 1} | dictsort(false, 'value')
n | dictsort
d | items | list
d | items | length
n | items | list
undefinedvar | items | list
s | items | list
s | string
5 | string
n | string
l | string
x | string
intstr | int
floatstr | int
'abc' | int
'abc' | int(5)
'abc' | int(default=-1)
'1f' | int(0, 16)
'0x1f' | int(0, 16)
n | int
x | int
-2.7 | int
'1e3' | int
t | int
undefinedvar | int
floatstr | float
'abc' | float
'abc' | float(1.5)
i | float
n | float
-5 | abs
-2.5 | abs
'a' | abs
2.5 | round
3.5 | round
2.567 | round(2)
2.567 | round(1, 'floor')
2.1 | round(method='ceil')
5 | round
1234.5 | round(-2)
lines | indent
lines | indent(2)
lines | indent(2, true)
lines | indent(2, blank=true)
lines | indent('> ')
lines | indent(width=2, first=true)
'a' | indent
n | indent
html | e
html | escape
html | safe
html | safe + html
html + html | safe
(html | safe) ~ html
(html | safe).upper()
(html | safe) | upper
html | forceescape
(html | e) | e
s | center(20) ~ '|'
s | wordcount
'%s-%s' | format(1, 'a')
s | attr('upper') is callable
d | attr('b') is defined
s | batch(5) | map('join') | list
s is string
n is string
5 is number
t is number
t is integer
5 is integer
5.0 is integer
5.0 is float
5 is float
t is boolean
0 is boolean
t is true
1 is true
f is false
0 is false
n is none
undefinedvar is none
undefinedvar is defined
undefinedvar is undefined
n is defined
d is mapping
l is mapping
l is sequence
s is sequence
d is sequence
5 is sequence
n is sequence
undefinedvar is sequence
l is iterable
s is iterable
d is iterable
n is iterable
5 is iterable
undefinedvar is iterable
3 is odd
4 is even
6 is divisibleby(3)
6 is divisibleby 4
'a' is in 'abc'
1 is in l
1 is eq 1
1 is sameas 1
n is sameas none
t is sameas true
'abc' is lower
'ABC' is upper
range is callable
s is callable
s is not string
not s is string
s is defined and s is string
'upper' is filter
'nosuch' is filter
'string' is test
5 is gt 3
range(5) | list
range(2, 10, 3) | list
range(5, 0, -2) | list
range(3) | length
range(3)[1]
dict(a=1, b=2)
dict(a=1) | tojson
l | tojson
d | tojson
d | tojson(indent=2)
d | tojson(indent=4)
d | tojson(sort_keys=true)
d | tojson(separators=(',', ':'))
d | tojson(separators=(',', ':'), indent=2)
u | tojson
u | tojson(ensure_ascii=true)
ctrl | tojson
ctrl | tojson(ensure_ascii=true)
[ctrl]
[u]
q | tojson
[q]
html | tojson
n | tojson
t | tojson
x | tojson
big | tojson
floats | tojson
undefinedvar | tojson
[undefinedvar] | tojson
(1, 2) | tojson
{'a': {}, 'b': []} | tojson(indent=2)
tools | tojson(indent=2)
tools | tojson
words | map('upper') | tojson
words | map('upper') | list | tojson
'a\tb\\n\x41\u00e9\101\q'
'single \'quoted\''
"double \"quoted\""
'multi
line'
'a' 'b'
'a' ~ 'b' ~ 1 + 2
1 + 2 ~ 3
not 1 == 2
2 ** 3 ** 2
-2 ** 2
1 if t else 2 if f else 3
[1, 2, 3][1]
{'a': 1}['a']
{'a': 1}.a
'abc'[1]
[1, 2,]
(1, 2) == (1, 2)
l | first + 1
(l | first) + 1
s | upper | lower | length + 1
s.upper().lower().title()
s.split(', ')[0][0]
d.a | length > 2 and d.b == 1
strftime_now('%Y-%m-%d')
strftime_now('%d %b %Y, %H:%M:%S %p %A %j')
raise_exception('no')
namespace(a=1).a
namespace(a=1).b is defined
namespace({'a': 2}).a
namespace(items=[1]).items
namespace() is mapping
joiner(', ')()
cycler('a', 'b').next()
loop is defined
true
True
none
None
false
False
s.__class__
s.__class__ is defined
''.__class__.__mro__
l.sort()
'a b c' | truncate(3)
'hello big world' | truncate(9)
'hello big world' | truncate(9, true)
'foo' | urlencode
'a b&c' | urlencode
"""

TEMPLATES = [
    "{% for a in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}",
    "{% for a in l %}{{ loop.previtem }}<{{ a }}>{{ loop.nextitem }} {% endfor %}",
    "{% for a in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for a in empty %}x{% else %}none{% endfor %}",
    "{% for a in undefinedvar %}x{% else %}none{% endfor %}",
    "{% for a in n %}x{% else %}none{% endfor %}",
    "{% for a in 5 %}x{% endfor %}",
    "{% for c in 'abc' %}{{ c }}.{% endfor %}",
    "{% for k in d %}{{ k }} {% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %}",
    "{% for k, v in d | items %}{{ k }}={{ v }} {{ loop.last }} {% endfor %}",
    "{% for k, v in l %}{{ k }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a in l if a > 1 %}{{ loop.index }}/{{ loop.length }}:{{ a }} {% endfor %}",
    "{% for a in l if a > 9 %}x{% else %}none{% endfor %}",
    "{% for a in l %}{% if a == 1 %}{% continue %}{% endif %}{{ a }}{% endfor %}",
    "{% for a in l %}{% if a == 1 %}{% break %}{% endif %}{{ a }}{% endfor %}",
    "{% for a in l %}{% for b in l %}{% if b == 1 %}{% break %}{% endif %}{{ a }}{{ b }} {% endfor %}{% endfor %}",
    "{% for a in l %}{{ loop.cycle('x', 'y') }}{% endfor %}",
    "{% for a in [1, 1, 2] %}{{ loop.changed(a) }}{% endfor %}",
    "{% for a in [[1, [2]], [3]] recursive %}{% if a is iterable %}({{ loop(a) }}){% else %}{{ a }}{% endif %}{% endfor %}",
    "{% for a in people | selectattr('admin', 'undefined') %}{{ loop.index }}{{ loop.length }}{{ a.name }}{% endfor %}",
    "{% for m in l[::-1] %}{{ m }}{{ loop.last }}{% endfor %}",
    "{% for m in l | reverse %}{{ m }}{{ loop.index }}{% endfor %}",
    "{% set y = 1 %}{% for a in l %}{% set y = y + a %}{{ y }} {% endfor %}{{ y }}",
    "{% set ns = namespace(y=1) %}{% for a in l %}{% set ns.y = ns.y + a %}{% endfor %}{{ ns.y }}",
    "{% set ns = namespace() %}{% set ns.a = [] %}{% set ns.a = ns.a + [1] %}{{ ns.a }}{{ ns.b }}|{{ ns.b is defined }}",
    "{% set d.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = l %}{{ a }}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set block %}a {{ i }} b{% endset %}[{{ block }}]{{ block | length }}",
    "{% set block | upper %}abc{% endset %}{{ block }}",
    "{% set ns = namespace() %}{% set ns.x %}abc{% endset %}{{ ns.x }}",
    "{% if t %}{% set z = 5 %}{% endif %}{{ z }}",
    "{% if f %}{% set z = 5 %}{% endif %}{{ z is defined }}",
    "{% if e %}a{% elif l %}b{% else %}c{% endif %}",
    "{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c='y') }} {{ m(b=1, a=2) }}",
    "{% macro m(a) %}[{{ a }}]{{ a is defined }}{% endmacro %}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(zz=2) }}",
    "{% macro m() %}{{ caller() }}!{% endmacro %}{% call m() %}hi{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}!{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m(a) %}{% if a > 0 %}{{ a }}{{ m(a - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}",
    "{% macro m() %}{{ late }}{% endmacro %}{% set late = 2 %}{{ m() }}",
    "{% macro m() %}{% set inner = 5 %}{{ inner }}{% endmacro %}{{ m() }}{{ inner is defined }}",
    "{% for a in l %}{% macro m() %}{{ a }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %} x {% endmacro %}[{{ m() | trim }}]{{ m() | length }}{{ m() is string }}",
    "{% macro m(x) %}{{ x | tojson }}{% endmacro %}{{ m({'a': 1}) + 'z' }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}",
    "{% filter indent(2) %}a\nb{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a is defined }}",
    "{% generation %}{{ s }}{% set gg = 1 %}{% endgeneration %}{{ gg is defined }}",
    "{%- generation -%}  x  {%- endgeneration -%}  y",
    "{% for a in l %}{% generation %}{{ a }}{% endgeneration %}{% endfor %}",
    "{# comment #}a{#- comment -#} b {# {% if %} #}",
    "{% raw %}{{ x }}{% if %}{% endraw %}!",
    "a\n{% if t %}\n  b\n{% endif %}\nc\n",
    "a\n  {% if t %}\n  b\n  {% endif %}\nc\n\n",
    "a  {%- if t -%}  b  {%- endif -%}  c",
    "a\n{%+ if t %}\n b{%+ endif %}\nc",
    "  {%+ if t %}x{% endif %}",
    "a {% if t +%}\n b{% endif +%}\n c",
    "  {{ s }}  \n  {{- s -}}  \n x",
    "{{ s }}\n\n{{ s }}\n",
    "  {# c #}  \n  x {# c #}\n y",
    "\t{% set a = 1 %}\t\n{{ a }}",
    "x {% set a = 1 %} \n{{ a }}",
    "{% if t %}\n\n\nx\n\n{% endif %}\n",
    "line\r\n{% if t %}\r\nx\r\n{% endif %}\r\nend\r\n",
    "{{ 'a\r\nb' | length }}",
    "{% for a in l -%}\n  {{ a }}\n{%- endfor %}",
    "{% for a in l %}\n  {{ a }},\n{% endfor %}end",
    "{%- set a = 1 -%}\n\n  {{- a }}\n",
    "{{- 'x' }}\n  {%- if t %}\n y{% endif %}",
    "a{{ '' }}\n{{ 'b' }}",
    "{{ 'a' -}}\n\n{{- 'b' }}",
    "{%-\n  if t\n-%}\nx\n{%-\n  endif\n%}",
    "{{ {'a': {'b': 1}}.a.b }}",
    "{{ '}}' }}{{ '%}' }}{{ '{{' }}",
    "{{ \"{% if %}\" }}",
    "{% if 'a' in d and d.a is not string and d.a | length == 3 %}yes{% endif %}",
    "{% if not (d.zzz is defined and d.zzz) %}yes{% endif %}",
    "{% if d.zzz %}a{% else %}b{% endif %}",
    "{% set x = d.zzz or 'fallback' %}{{ x }}",
    "{% set content = people[0].name | trim + '!' %}{{ content }}",
    "{{ people[0]['name'] + ' ' + people[1].name }}",
    "{% set ns = namespace(found=false) %}{% for p in people %}{% if p.admin %}{% set ns.found = p.name %}{% endif %}{% endfor %}{{ ns.found }}",
    "{% set ids = people | map(attribute='name') %}{{ ids | list }}{{ ids | list }}",
    "{% set it = d.items() %}{{ it | list | length }}{{ it | list | length }}",
    "{% set g = l | reverse %}{% for a in g %}{{ a }}{% endfor %}{% for a in g %}{{ a }}{% endfor %}",
    "{% set f = s.upper %}{{ f() }}",
    "{% set f = d.get %}{{ f('b') }}{{ f('zz', 3) }}",
    "{{ d.items }}" [:0] + "{% if d.items is callable %}c{% endif %}",
    "{% do 1 %}",
    "{% nosuchtag %}",
    "{{ s | nosuchfilter }}",
    "{{ s is nosuchtest }}",
    "{% if f %}{{ s | nosuchfilter }}{% endif %}ok",
    "{{ }}",
    "{{ 1 + }}",
    "{% if t %}",
    "{% endif %}",
    "{{ 'open }}",
    "{% for %}{% endfor %}",
    "{{ s",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{{ loop.index }}",
    "{% break %}",
    "{{ tools[0].function.parameters.properties.items() | list }}",
    "{% for name, spec in tools[0].function.parameters.properties.items() %}{{ name }}:{{ spec.type }}{% endfor %}",
    "{% set a = [] %}{% for x in l %}{% set a = a + [x] %}{% endfor %}{{ a }}",
    "{% set a = [] %}{% set _ = a.append(1) %}{{ a }}",
    "{{ [1, 2, 3] | map('string') | join('+') }}",
    "{{ ['a', 'b'] | map('upper') | map('lower') | join }}",
    "{{ (people | map(attribute='name') | first).upper() }}",
    "{{ people | map(attribute='age') | sum }} {{ people | map(attribute='age') | max }}",
    "{{ people | selectattr('age', 'ge', 30) | map(attribute='name') | sort | join('/') }}",
    "{% for g in people | groupby('age') %}{{ g.grouper }}:{{ g.list | length }} {% endfor %}",
    "{% for age, group in people | groupby('age') %}{{ age }}:{{ group | map(attribute='name') | join(',') }} {% endfor %}",
    "{{ text.split('\\n')[0].strip().split(' ') }}",
    "{{ '<think>a</think>b'.split('</think>')[-1].lstrip('\\n') }}",
    "{{ '<think>a</think>b'.split('</think>')[0].rstrip('\\n').split('<think>')[-1] }}",
    "{{ ('a' if t else 'b') + ('c' if f else 'd') }}",
    "{{ 'a' if t else 'b' + 'c' }}",
    "{{ -1 | abs }}{{ (-1) | abs }}",
    "{{ 5 - -3 }}{{ 5 --3 }}",
    "{{ 1.5 | string + 'x' }}",
    "{{ l.0 }}{{ l.1 }}",
    "{{ d['a'].0 }}",
    "{{ [1,2,3].index(2) }}",
    "{%- for message in people -%}{%- if loop.first and message['name'] == 'Bo' -%}{%- set sys = message -%}{%- endif -%}{%- endfor -%}{{ sys is defined }}",
    "{% set loop_messages = people[1:] %}{{ loop_messages | length }}{{ loop_messages[0].name }}",
    "{% for m in people %}{% if (m.age == 30) != (loop.index0 % 2 == 0) %}{{ m.name }}{% endif %}{% endfor %}",
    "{{ 'x' * (3 - l | length) }}|{{ ' ' * 3 }}|",
    "{{ undefinedvar | default({}) | tojson }}{{ (undefinedvar | default({})).get('a', 'b') }}",
    "{{ namespace(a=1) is namespace }}",
    "{{ 'a' < 'b' < 'c' }}{{ 1 < 2 > 1 }}{{ 1 in [1] in [[1]] }}",
    "{{ d is mapping and d.b is number and d.a is iterable and d.a is not mapping }}",
    "{{ u[6:10] }}{{ u | upper }}{{ u | reverse }}",
    "{{ 'ß' | upper }}{{ 'İ' | lower | length }}",
    "{{ s.split(',', maxsplit=1) }}{{ s.split(sep=',') }}",
    "{{ d.a | map('default', 'x', true) | join(',') }}",
    "{{ '%s' | format(u) }}{{ '%-8s|' | format(s[:3]) }}",
    "{{ true ~ none ~ 1.0 ~ [1] }}",
    "{{ (1, 2) ~ {'a': 1} }}",
    "{{ [html] }}{{ [html | safe] | join }}",
    "{{ html | safe | replace('a', '<') }}{{ (html | safe).replace('a', '<') }}",
    "{{ ('<' | safe).join(['>', 'b']) }}{{ '%s' | safe | format('<') }}{{ ('%s' | safe) % '<' }}",
]


def main():
    env = environment()
    cases = []
    sources = ["{{ " + line + " }}" for line in EXPRESSIONS.strip("\n").replace("\nline'", "\x01line'").split("\n")]
    for source in [source.replace("\x01", "\n") for source in sources] + TEMPLATES:
        try:
            expected = env.from_string(source).render(**VARIABLES)
        except Exception:
            expected = None
        if expected is not None and " object at 0x" in expected:
            expected = expected.split(" at 0x")[0] + ">"
        cases.append({"template": source, "expected": expected})
    print(json.dumps({"variables": VARIABLES}, ensure_ascii=False)[:-1] + ', "cases": [')
    print(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
    print("]}")


main()
