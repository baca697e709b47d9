"""Human preference studies: votes, what they say, how far they can be trusted.

``votes`` and ``ratings`` read what people answered, ``plan`` is what was fixed beforehand,
``analysis`` and ``validate`` say what follows, ``simulate`` makes answers for tests and demos.
Every statistic is a pure function of arrays that returns a frozen dataclass.
"""
