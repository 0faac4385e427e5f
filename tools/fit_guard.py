from inspectd_tools.deploy.guard.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
