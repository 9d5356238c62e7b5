"""GraphQL documents for Shopify's Admin API, and the version they are written for.

Each version is supported for at least a year (shopify.dev, "API versioning"). To raise it, change
API_VERSION, bring tests/standins/shopify_admin.graphql up to the schema of the new version (Shopify
publishes it whole in the npm package @shopify/dev-mcp) and run the tests.
"""

API_VERSION = "2026-10"

# Few fields, so that it is cheap: most orders are on record already and are not fetched.
ORDERS = """
query orders($query: String!, $after: String, $first: Int!) {
  orders(first: $first, after: $after, sortKey: UPDATED_AT, query: $query) {
    nodes {
      id
      legacyResourceId
      name
      updatedAt
      cancelledAt
      displayFinancialStatus
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""

_LINES = """
fragment Lines on LineItemConnection {
  nodes {
    id
    sku
    title
    vendor
    quantity
    currentQuantity
    taxable
    product { legacyResourceId }
    variant { legacyResourceId }
    originalUnitPriceSet { shopMoney { amount } }
    discountAllocations { allocatedAmountSet { shopMoney { amount } } }
    taxLines { ...Tax }
    duties { taxLines { ...Tax } }
  }
  pageInfo { hasNextPage endCursor }
}

fragment Tax on TaxLine {
  priceSet { shopMoney { amount } }
}
"""

ORDER = (
    """
query order($id: ID!, $first: Int!) {
  order(id: $id) {
    legacyResourceId
    name
    createdAt
    processedAt
    updatedAt
    cancelledAt
    test
    currencyCode
    taxesIncluded
    displayFinancialStatus
    sourceName
    app { id }
    tags
    customerLocale
    statusPageUrl
    landingPageUrl
    referrerUrl
    clientIp
    cartToken
    checkoutToken
    email
    phone
    customAttributes { key value }
    subtotalPriceSet { shopMoney { amount } }
    totalPriceSet { shopMoney { amount } }
    totalTaxSet { shopMoney { amount } }
    currentSubtotalPriceSet { shopMoney { amount } }
    currentTotalPriceSet { shopMoney { amount } }
    currentTotalTaxSet { shopMoney { amount } }
    billingAddress { ...Place }
    shippingAddress { ...Place }
    customer {
      legacyResourceId
      numberOfOrders
      firstName
      lastName
      defaultEmailAddress { emailAddress }
      defaultPhoneNumber { phoneNumber }
      defaultAddress { ...Place }
    }
    customerJourneySummary {
      customerOrderIndex
      firstVisit { ...Visit }
      lastVisit { ...Visit }
      moments(first: 20) { nodes { ...Visit } }
    }
    refunds { id }
    shippingLines(first: 20, includeRemovals: true) {
      nodes { taxLines { ...Tax } }
      pageInfo { hasNextPage endCursor }
    }
    lineItems(first: $first) { ...Lines }
  }
}

fragment Place on MailingAddress {
  firstName
  lastName
  city
  provinceCode
  zip
  countryCodeV2
  phone
}

fragment Visit on CustomerVisit {
  occurredAt
  landingPage
  referrerUrl
  utmParameters { source medium campaign term content }
}
"""
    + _LINES
)

LINES = (
    """
query lines($id: ID!, $after: String!, $first: Int!) {
  order(id: $id) {
    lineItems(first: $first, after: $after) { ...Lines }
  }
}
"""
    + _LINES
)

REFUND = """
query refund($id: ID!, $after: String, $first: Int!) {
  refund(id: $id) {
    legacyResourceId
    createdAt
    processedAt
    refundLineItems(first: $first, after: $after) {
      nodes {
        quantity
        lineItem { id }
        subtotalSet { shopMoney { amount } }
        totalTaxSet { shopMoney { amount } }
      }
      pageInfo { hasNextPage endCursor }
    }
    duties { amountSet { shopMoney { amount } } }
    refundShippingLines(first: 25) {
      nodes {
        subtotalAmountSet { shopMoney { amount } }
        taxAmountSet { shopMoney { amount } }
      }
      pageInfo { hasNextPage endCursor }
    }
    orderAdjustments(first: 25) {
      nodes {
        amountSet { shopMoney { amount } }
        taxAmountSet { shopMoney { amount } }
      }
      pageInfo { hasNextPage endCursor }
    }
    transactions(first: 25) {
      nodes {
        kind
        status
        amountSet { presentmentMoney { amount currencyCode } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""

SUBSCRIPTIONS = """
query subscriptions($after: String, $first: Int!) {
  webhookSubscriptions(first: $first, after: $after) {
    nodes {
      id
      topic
      uri
      name
      format
      filter
      includeFields
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""

SUBSCRIBE = """
mutation subscribe($topic: WebhookSubscriptionTopic!, $subscription: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $subscription) {
    webhookSubscription { id }
    userErrors { field message }
  }
}
"""

RESUBSCRIBE = """
mutation resubscribe($id: ID!, $subscription: WebhookSubscriptionInput!) {
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $subscription) {
    webhookSubscription { id }
    userErrors { field message }
  }
}
"""

ALL = {
    "orders": ORDERS,
    "order": ORDER,
    "lines": LINES,
    "refund": REFUND,
    "subscriptions": SUBSCRIPTIONS,
    "subscribe": SUBSCRIBE,
    "resubscribe": RESUBSCRIBE,
}
