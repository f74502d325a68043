"""The end-to-end harness behind benches/compare: cells (what is compared) over images, servers, measure and report."""
