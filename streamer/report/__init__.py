"""A page about finished runs: one HTML file, readable without a network."""

from streamer.report.page import build as build
from streamer.report.write import WrittenReport as WrittenReport
from streamer.report.write import write_report as write_report
