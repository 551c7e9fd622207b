"""Properties that hold for any bytes, and a search for bytes for which they do not.

`make fuzz` (`python -m tests.fuzz PROPERTY --seconds 60`) has atheris mutate what is in `corpus/PROPERTY/`, led by the
coverage of the pure twins, and leaves an input that breaks the property in `.fuzz/PROPERTY/`. Made small and named
for what it shows, it belongs into the corpus, which the suite replays.
"""
