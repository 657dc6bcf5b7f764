"""How fast Headwater is, measured beside what it stands on.

`python -m bench` measures every figure but `big`; `python -m bench NAME…` some of them. What is
measured and how to read it is in docs/benchmarks.md.
"""
