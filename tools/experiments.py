from inspectd_tools.experiments.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
