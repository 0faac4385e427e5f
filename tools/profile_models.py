from inspectd_tools.benchmarks.model_cost import main

if __name__ == "__main__":
    raise SystemExit(main())
