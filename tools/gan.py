from inspectd_tools.synthetic.gan.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
