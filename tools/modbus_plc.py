from inspectd_tools.benchmarks.modbus_plc import main

if __name__ == "__main__":
    raise SystemExit(main())
