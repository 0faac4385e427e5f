from inspectd_tools.evaluation.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
