from inspectd_tools.plc.modbus_plc import main

if __name__ == "__main__":
    raise SystemExit(main())
