"""The tables of docs/benchmarks.md, in their order: a file each, with one function that says what it measures."""

from . import cross_sections, larger, larger_than_memory, reference, small, specifications, triple, unbalanced
from .cells import cohorts, police, units

MODULES = (
    reference, police, cohorts, units, triple, cross_sections, unbalanced, small, specifications, larger,
    larger_than_memory,
)


def sections(setting):
    """Every section by name."""
    made = [module.section(setting) for module in MODULES]
    return {section.name: section for section in made}
