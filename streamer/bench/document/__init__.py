"""What the results of benchmarks look like in a document: tables in Markdown, and one picture each."""
