from inspectd_tools.explain.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
