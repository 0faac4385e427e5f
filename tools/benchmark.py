from inspectd_tools.benchmarks.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
