"""Panels of thousands of cells: months and days as periods, hundreds of cohorts."""
