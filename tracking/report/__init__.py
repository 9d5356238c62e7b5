"""The reports: funnel, ROI, the journey of an order, the delivery log and the export."""
